// Package acceptance has no code. Its test runs the deployment guide, docs/deployment.md, on a Docker Engine: every command
// as it stands there, row by row, with what must happen after it. With -v it shows the transcript.
//
// The commands are in the guide only: its code blocks have names ("```sh name=host"), and the rows of this test run them by
// name. A block that no row runs must be in the list of those that cannot be run here, with the reason.
package acceptance
