package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxNameBytes bounds a sealed name: it travels in a header or a query.
const MaxNameBytes = 8 << 10

// Session is what a name says. The name is all that a caller knows of it.
type Session struct {
	// ID is the server's own id of the session; with the older HTTP+SSE transport
	// the path and query of the endpoint that the server named.
	ID string
	// Address is the host:port of the server that the session lives on; empty
	// where any will do.
	Address string
	// Owner is the host:port of the sampler that began the session; empty where
	// there is but one.
	Owner string
	// Version is the protocol version that the server agreed to; empty if not
	// known.
	Version string
	// CallerSampling and CallerTools are what the caller declared,
	// DeclaredSampling and DeclaredTools what the server was told.
	CallerSampling, CallerTools     bool
	DeclaredSampling, DeclaredTools bool
}

// SealName returns the name of a session: visible ASCII, as the transport asks
// (specification, Streamable HTTP, session management).
func (s *Sealer) SealName(v Session) (string, error) {
	var flags byte
	for i, set := range []bool{v.CallerSampling, v.CallerTools, v.DeclaredSampling, v.DeclaredTools} {
		if set {
			flags |= 1 << i
		}
	}
	plain := []byte{flags}
	for _, text := range []string{v.ID, v.Address, v.Owner, v.Version} {
		plain = binary.AppendUvarint(plain, uint64(len(text)))
		plain = append(plain, text...)
	}
	name := seal(s.names, namePrefix, plain, nil)
	if len(name) > MaxNameBytes {
		return "", fmt.Errorf("the server's session id is too long: the sealed name has %d bytes, at most %d fit", len(name), MaxNameBytes)
	}
	return name, nil
}

// OpenName returns what was sealed, or ErrInvalid.
func (s *Sealer) OpenName(name string) (Session, error) {
	if len(name) > MaxNameBytes {
		return Session{}, ErrInvalid
	}
	plain, err := open(s.names, namePrefix, name, nil)
	if err != nil {
		return Session{}, err
	}
	v, err := decode(plain)
	if err != nil { // sealed by a release that writes more
		return Session{}, ErrInvalid
	}
	return v, nil
}

var errFormat = errors.New("malformed")

func decode(plain []byte) (Session, error) {
	if len(plain) == 0 {
		return Session{}, errFormat
	}
	flags, rest := plain[0], plain[1:]
	var texts [4]string
	for i := range texts {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return Session{}, errFormat
		}
		texts[i] = string(rest[n : n+int(length)])
		rest = rest[n+int(length):]
	}
	if len(rest) > 0 {
		return Session{}, errFormat
	}
	return Session{
		ID: texts[0], Address: texts[1], Owner: texts[2], Version: texts[3],
		CallerSampling: flags&1 != 0, CallerTools: flags&2 != 0,
		DeclaredSampling: flags&4 != 0, DeclaredTools: flags&8 != 0,
	}, nil
}
