// Package dataplane holds the tests of the data plane alone: the proxy between
// real callers and real servers of several makers, over loopback, with no
// cluster and no model.
package dataplane
