package resident

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
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
	// otherEra says that the server knows none of the versions it was asked for.
	otherEra atomic.Bool
}

// begin begins a look.
func (o *outcome) begin() { o.left.Store(maxAnswer) }

// failed returns the error of a look that ended with the newest request.
func (o *outcome) failed(cause error) error {
	proxyStatus, _ := o.proxyStatus.Load().(string)
	return &lookError{cause: cause, status: int(o.status.Load()), proxyStatus: proxyStatus, otherEra: o.otherEra.Load()}
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
	o.otherEra.Store(res.StatusCode == http.StatusBadRequest && refusesVersion(res))
	return res, nil
}

// maxRefusal bounds a refusal that is read for its code.
const maxRefusal = 64 << 10

// refusesVersion reads the code of a refusal, which the client does not pass on,
// and leaves the answer as it was.
func refusesVersion(res *http.Response) bool {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), res.Body), res.Body}
	var refusal struct {
		Error struct {
			Code int `json:"code"`
		} `json:"error"`
	}
	return err == nil && json.Unmarshal(body, &refusal) == nil && refusal.Error.Code == wire.CodeUnsupportedVersion
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
