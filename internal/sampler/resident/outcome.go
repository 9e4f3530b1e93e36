package resident

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// maxAnswer bounds one answer of the server: a client that looks must not be
// made to hold more.
const maxAnswer = 16 << 20

// outcome remembers how the newest request ended and bounds what is read.
type outcome struct {
	next   *http.Transport
	status atomic.Int64
	// proxyStatus is that header: a string.
	proxyStatus atomic.Value
}

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
	res.Body = &boundedBody{ReadCloser: res.Body, left: maxAnswer}
	return res, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
