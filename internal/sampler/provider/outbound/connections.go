package outbound

import (
	"crypto/x509"
	"net/http"
	"sync"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/cabundle"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// connections are those to one provider, verified with the newest certificates:
// each change of the file begins with none.
type connections struct {
	file *cabundle.File // nil: the system's certificates

	mu    sync.Mutex
	certs *x509.CertPool // those that via verifies with
	via   *http.Transport
}

func newConnections(caFile string) *connections {
	c := &connections{via: newHTTPTransport()}
	if caFile != "" {
		c.file = cabundle.New(caFile)
	}
	return c
}

func (c *connections) current() *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.via
}

// newest returns what carries the next request. A file that cannot be read any
// more leaves everything as it is; one that never could is an error, for then no
// certificate is good.
func (c *connections) newest(verified bool) (*http.Transport, error) {
	if c.file == nil || !verified {
		return c.current(), nil
	}
	c.mu.Lock() // before the file is looked at, so that nobody goes back to an older pool
	defer c.mu.Unlock()
	certs, err := c.file.Pool()
	if certs == nil {
		return nil, &provider.Error{Kind: provider.KindUnreachable, Detail: "the file of its CA bundle cannot be read, or holds no certificate", Cause: err}
	}
	if certs != c.certs {
		before := c.via
		c.via, c.certs = newHTTPTransport(), certs
		c.via.TLSClientConfig.RootCAs = certs
		// What is under way ends as it began, and its connections with it.
		before.CloseIdleConnections()
	}
	return c.via, nil
}
