// Package state is the gateway's domain: what an LLM engine says of itself, what the gateway holds of it, why a
// datagram is refused, and the rules of order, age and status as functions of nothing but what they are given.
//
// It has no clock, lock or I/O and imports the standard library only. Every type but Memory is a plain value: safe to
// copy, safe for concurrent reading, not for concurrent writing. A copy of a Memory shares what is behind its pointer:
// an engine has one, that of whoever applies its states. The tables and sockets that make it live are in package shard
// and package engine.
package state
