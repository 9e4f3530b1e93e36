// Package seal seals what a sampler must find again in what callers send
// back: the name of a session, and the state of a request that takes several
// rounds. Any replica that has the key opens what another one has sealed, so
// none has to remember it for the others, and nobody else can read or make one.
//
// It is pure but for the random nonces.
package seal
