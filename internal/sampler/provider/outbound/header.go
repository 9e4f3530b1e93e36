package outbound

import (
	"net/http"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
)

// header is one that each request gets.
type header struct {
	name  string
	value string
	from  *secret.Cached // in place of value, where it is not nil
}

func newHeaders(configured []config.Header) []header {
	headers := make([]header, len(configured))
	for i, h := range configured {
		headers[i] = header{name: http.CanonicalHeaderKey(h.Name), value: h.Value}
		if h.ValueFrom != nil {
			headers[i].from = secret.NewCached(h.ValueFrom, "value")
		}
	}
	return headers
}

// read returns the headers of this moment, or an error that names the one which
// is not to be had.
func read(headers []header) (http.Header, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	out := make(http.Header, len(headers))
	for _, h := range headers {
		value := h.value
		if h.from != nil {
			var err error
			if value, err = h.from.Read(); err != nil {
				return nil, missing(h.name, err.Error(), err)
			}
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return nil, missing(h.name, "the value has a line end or another control character", nil)
			}
		}
		out[h.name] = []string{value}
	}
	return out, nil
}

func missing(name, detail string, cause error) *provider.Error {
	return &provider.Error{Kind: provider.KindMissingKey, Detail: "header " + name + ": " + detail, Cause: cause}
}
