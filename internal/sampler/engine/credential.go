package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// maxKey is longer than any key. A longer file is something else.
const maxKey = 64 << 10

// credential finds a provider's key. It is read for each request, so that a
// rotated key counts at once.
type credential struct{ config *config.Credential }

// read returns the key, or a *provider.Error of kind KindMissingKey whose detail
// says why there is none. No error quotes what was found.
func (c credential) read() (string, error) {
	if c.config == nil {
		return "", nil
	}
	var text string
	if c.config.Env != "" {
		value, found := os.LookupEnv(c.config.Env)
		if !found {
			return "", missingKey("the environment variable "+c.config.Env+" is not set", nil)
		}
		text = value
	} else {
		data, err := readFile(c.config.File)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", missingKey("the key's file does not exist", err)
		case err != nil:
			return "", missingKey("the key's file cannot be read", err)
		}
		text = string(data)
	}
	key := strings.TrimSpace(text)
	switch {
	case key == "":
		return "", missingKey("the key is empty", nil)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", missingKey("the key holds white space or other characters that no key has", nil)
	}
	return key, nil
}

func readFile(path string) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxKey {
		return nil, fmt.Errorf("it has more than %d bytes", maxKey)
	}
	return data, nil
}

func missingKey(detail string, cause error) error {
	return &provider.Error{Kind: provider.KindMissingKey, Detail: detail, Cause: cause}
}
