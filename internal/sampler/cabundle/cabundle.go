// Package cabundle reads certificates that others are verified with from a file,
// and reads it again when it changes.
package cabundle

import (
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
)

// maxBytes is more than all certificates of a system have.
const maxBytes = 4 << 20

// File is a file of certificates (PEM). What cannot be read does not replace what
// could. It may be used concurrently.
type File struct {
	path string

	mu    sync.Mutex
	info  fs.FileInfo
	certs *x509.CertPool
}

// New reads nothing yet: the file may come later, as keys may.
func New(path string) *File { return &File{path: path} }

// Pool returns the newest certificates, the same pool as before where the file
// has not changed. With an error they are those that were read before; nil where
// there never were any.
func (f *File) Pool() (*x509.CertPool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.load()
	return f.certs, err
}

func (f *File) load() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("look for the CA bundle: %w", err)
	}
	if secret.Same(f.info, info) {
		return nil
	}
	data, err := readFile(f.path)
	if err != nil {
		return fmt.Errorf("read the CA bundle: %w", err)
	}
	certs := x509.NewCertPool()
	if !certs.AppendCertsFromPEM(data) {
		return fmt.Errorf("the CA bundle %s has no certificate: write certificates in PEM", f.path)
	}
	f.info, f.certs = info, certs
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // it names the file
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxBytes:
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxBytes)
	}
	return data, nil
}
