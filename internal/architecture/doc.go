// Package architecture has no code. Its test holds the project to the list of who may import whom.
package architecture
