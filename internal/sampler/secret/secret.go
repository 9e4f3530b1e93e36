// Package secret reads what is not for everybody's eyes: keys of providers, and
// headers that a server wants. It is read again whenever it is needed, so that a
// rotated one counts at once. No error quotes what was found.
package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// maxBytes is longer than any key. A longer file is something else.
const maxBytes = 64 << 10

// Error says why there is no secret.
type Error struct {
	// Detail names no secret, and no file.
	Detail string
	Cause  error
}

func (e *Error) Error() string { return e.Detail }
func (e *Error) Unwrap() error { return e.Cause }

// Read returns the text that c leads to, without the white space around it, or
// an *Error in which it is called noun ("key"). Empty is an error too.
func Read(c *config.Credential, noun string) (string, error) {
	var text string
	if c.Env != "" {
		value, found := os.LookupEnv(c.Env)
		if !found {
			return "", &Error{Detail: "the environment variable " + c.Env + " is not set"}
		}
		text = value
	} else {
		data, err := readFile(c.File)
		if err != nil {
			return "", unread(noun, err)
		}
		text = string(data)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", &Error{Detail: "the " + noun + " is empty"}
	}
	return text, nil
}

func unread(noun string, err error) *Error {
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Detail: "the " + noun + "'s file does not exist", Cause: err}
	}
	return &Error{Detail: "the " + noun + "'s file cannot be read", Cause: err}
}

func readFile(path string) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxBytes)
	}
	return data, nil
}

// Cached is a secret that is needed so often that its file is read again only
// when it has changed. It may be used concurrently.
type Cached struct {
	from *config.Credential
	noun string

	mu   sync.Mutex
	info fs.FileInfo
	text string
}

// NewCached returns the secret that c leads to.
func NewCached(c *config.Credential, noun string) *Cached { return &Cached{from: c, noun: noun} }

// Read is as the function Read.
func (c *Cached) Read() (string, error) {
	if c.from.File == "" {
		return Read(c.from, c.noun)
	}
	info, err := os.Stat(c.from.File)
	if err != nil {
		return "", unread(c.noun, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if Same(c.info, info) {
		return c.text, nil
	}
	text, err := Read(c.from, c.noun)
	if err != nil {
		c.info = nil
		return "", err
	}
	// A file that changed in between has another time than info says, and is
	// read once more.
	c.info, c.text = info, text
	return text, nil
}

// Same reports whether a file has not changed between two looks at it; false
// where there was no first one.
func Same(before, now fs.FileInfo) bool {
	return before != nil && os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}
