// Package peers holds the tests of the sampler against servers, callers and
// conformance suites of other makers, all real and all pinned: what works
// directly works through the sampler, and what needs sampling works for callers
// that have none. What they find stands in docs/conformance.md, which
// `go test ./test/peers -update` writes.
package peers
