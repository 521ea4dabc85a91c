// Package browser tests the gateway's page at GET / in Chromium, against a gateway of the real binary that gets its states
// by UDP. It has nothing but tests. Without Chromium they are skipped, except where STATE_REQUIRE_ALL is set.
package browser
