package google

import (
	"fmt"
	"io"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// maxValues bounds the JSON values of a request's tools and their arguments and
// results, and those of an answer. The SDK makes maps and lists of all of them,
// and of three bytes hundreds. A model's longest answer has fewer words.
const maxValues = 1 << 17

// valueCounter counts the values of JSON that comes in pieces, or of what wants
// to be it: each list, each object, and each comma.
type valueCounter struct {
	n                 int
	inString, escaped bool
}

func (c *valueCounter) add(piece []byte) {
	for _, b := range piece {
		switch {
		case c.escaped:
			c.escaped = false
		case b == '"':
			c.inString = !c.inString
		case c.inString:
			c.escaped = b == '\\'
		case b == '{' || b == '[' || b == ',':
			c.n++
		}
	}
}

// fewValues reports whether JSON texts together are within maxValues.
func fewValues(texts ...[]byte) bool {
	n := 0
	for _, text := range texts {
		var c valueCounter
		c.add(text)
		n += c.n
	}
	return n <= maxValues
}

// documents are the parts of a request that are JSON of any shape.
func documents(req *provider.Request) [][]byte {
	all := [][]byte{req.Metadata}
	for i := range req.Tools {
		all = append(all, req.Tools[i].InputSchema)
	}
	for i := range req.Messages {
		for j := range req.Messages[i].Content {
			b := &req.Messages[i].Content[j]
			all = append(all, b.Input, b.StructuredContent)
		}
	}
	return all
}

// boundedBody ends an answer of too many values with an error.
type boundedBody struct {
	io.ReadCloser
	values valueCounter
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.values.add(p[:n]); b.values.n > maxValues {
		return 0, &provider.Error{Kind: provider.KindInvalid, Detail: fmt.Sprintf("its answer holds more than %d JSON values", maxValues)}
	}
	return n, err
}
