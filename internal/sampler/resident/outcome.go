package resident

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// maxAnswer bounds what a server can say in one look: a client that looks must
// not be made to hold more.
const maxAnswer = 16 << 20

// outcome remembers how the newest request ended and bounds what is read.
type outcome struct {
	next   *http.Transport
	status atomic.Int64
	// left is how much may still be read in this look.
	left atomic.Int64
	// proxyStatus is that header: a string.
	proxyStatus atomic.Value
}

// begin begins a look.
func (o *outcome) begin() { o.left.Store(maxAnswer) }

// failed returns the error of a look that ended with the newest request.
func (o *outcome) failed(cause error) error {
	proxyStatus, _ := o.proxyStatus.Load().(string)
	return &lookError{cause: cause, status: int(o.status.Load()), proxyStatus: proxyStatus}
}

// RoundTrip implements http.RoundTripper.
func (o *outcome) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := o.next.RoundTrip(req)
	if err != nil {
		o.status.Store(0)
		o.proxyStatus.Store("")
		return nil, err
	}
	o.status.Store(int64(res.StatusCode))
	o.proxyStatus.Store(res.Header.Get("Proxy-Status"))
	res.Body = &boundedBody{ReadCloser: res.Body, left: &o.left}
	return res, nil
}

type boundedBody struct {
	io.ReadCloser
	left *atomic.Int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	left := b.left.Load()
	if left <= 0 {
		return 0, fmt.Errorf("the answers are longer than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), left)])
	b.left.Add(-int64(n))
	return n, err
}
