// Package load is the caller's side of the benchmarks: MCP callers on plain
// connections that cost as little as they can, and groups of them that call for
// a time and count. Every answer is checked for what was asked, so that a proxy
// which mixes up calls is an error and not a number.
package load
