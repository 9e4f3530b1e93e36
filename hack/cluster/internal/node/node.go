// Package node is what runs inside a cluster's namespaces: the first process, which prepares the
// mounts and reaps orphans, and the supervisor, which starts the parts and keeps them running.
package node

// File descriptors that the first process is given, beside the standard ones.
const (
	// listenerFD is a listening socket of the host's network: a socket keeps the network namespace
	// in which it was made, and so the API server is reached without a change to the host.
	listenerFD = 3
	// progressFD takes progress events.
	progressFD = 4
	// lifelineFD is the end of a pipe that the starting command holds. If it closes before the
	// cluster is up, the command was killed and nothing may stay behind.
	lifelineFD = 5
)
