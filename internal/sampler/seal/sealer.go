package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MinKeyBytes is the shortest key that is taken.
const MinKeyBytes = 32

// Prefixes tell what is sealed from what a server has made, and one format from
// the next.
const (
	namePrefix  = "mcps1."
	statePrefix = "mcpr1."
)

// ErrInvalid means that a text is not what this key has sealed: it was changed,
// cut, sealed with another key, or made up.
var ErrInvalid = errors.New("not sealed with this key")

// Sealer seals and opens. It may be used concurrently.
type Sealer struct {
	names, states cipher.AEAD
	digest        string
}

// NewSealer returns a Sealer with keys derived from key, one for each purpose.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) < MinKeyBytes {
		return nil, fmt.Errorf("the session key has %d bytes: it must have at least %d random bytes", len(key), MinKeyBytes)
	}
	var s Sealer
	for _, purpose := range []struct {
		name string
		aead *cipher.AEAD
	}{{"mcp-sampling session name", &s.names}, {"mcp-sampling request state", &s.states}} {
		derived, err := hkdf.Key(sha256.New, key, nil, purpose.name, 32)
		if err != nil {
			return nil, fmt.Errorf("deriving a key: %w", err)
		}
		block, err := aes.NewCipher(derived)
		if err != nil {
			return nil, fmt.Errorf("deriving a key: %w", err)
		}
		if *purpose.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("deriving a key: %w", err)
		}
	}
	// Of a derived value, so that it says nothing of one that seals.
	derived, err := hkdf.Key(sha256.New, key, nil, "mcp-sampling digest of the key", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving a digest: %w", err)
	}
	sum := sha256.Sum256(derived)
	s.digest = hex.EncodeToString(sum[:4])
	return &s, nil
}

// Digest tells keys apart, for those who must not know them.
func (s *Sealer) Digest() string { return s.digest }

// NewRandomSealer returns a Sealer whose key nobody else has: what it seals is
// worth nothing to other replicas, nor after a restart.
func NewRandomSealer() *Sealer {
	key := make([]byte, MinKeyBytes)
	_, _ = rand.Read(key) // it never fails
	s, err := NewSealer(key)
	if err != nil {
		panic(err) // the key has the length
	}
	return s
}

func seal(aead cipher.AEAD, prefix string, plain, bound []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, plain, bound))
}

func open(aead cipher.AEAD, prefix, text string, bound []byte) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, prefix)
	if !ok || strings.ContainsAny(encoded, "\r\n") { // which the decoder skips
		return nil, ErrInvalid
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, ErrInvalid
	}
	plain, err := aead.Open(sealed[:0], nil, sealed, bound)
	if err != nil {
		return nil, ErrInvalid
	}
	return plain, nil
}
