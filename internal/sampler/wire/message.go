package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Methods that a carrier of messages must know.
const (
	MethodInitialize  = "initialize"
	MethodInitialized = "notifications/initialized"
	MethodCancelled   = "notifications/cancelled"
	MethodPing        = "ping"
)

// ErrBatch is returned for a JSON-RPC batch, which only 2025-03-26 allows. Its
// messages are not looked at.
var ErrBatch = errors.New("JSON-RPC batch")

// Error is a JSON-RPC error object.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Message is one JSON-RPC message. Its parts share the memory of what was
// parsed, and are nil where the member is absent.
type Message struct {
	// ID keeps its JSON: a number and a string are different ids.
	ID     json.RawMessage
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  json.RawMessage
}

// ParseMessage reads the members of one message. It looks at the outermost
// object only: values inside are kept, not validated. Where a member is there
// twice the last one counts, as with other JSON readers.
func ParseMessage(data []byte) (Message, error) {
	var m Message
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) > 0 && trimmed[0] == '[' {
		return m, ErrBatch
	}
	err := eachMember(data, func(f member) error {
		value := json.RawMessage(data[f.valueStart:f.valueEnd])
		switch string(f.name) {
		case "id":
			m.ID = value
		case "method":
			if err := json.Unmarshal(value, &m.Method); err != nil {
				return fmt.Errorf("method: %w", err)
			}
		case "params":
			m.Params = value
		case "result":
			m.Result = value
		case "error":
			m.Error = value
		}
		return nil
	})
	if err != nil {
		return Message{}, fmt.Errorf("reading a JSON-RPC message: %w", err)
	}
	return m, nil
}

// IsRequest reports whether m asks for an answer. What tells a request from an
// answer is the method, never the id: both sides count theirs from the same
// numbers.
func (m Message) IsRequest() bool { return m.Method != "" && m.hasID() }

// IsNotification reports whether m has a method and no id.
func (m Message) IsNotification() bool { return m.Method != "" && !m.hasID() }

// IsResponse reports whether m answers a request.
func (m Message) IsResponse() bool {
	return m.Method == "" && m.hasID() && (m.Result != nil || m.Error != nil)
}

func (m Message) hasID() bool { return len(m.ID) > 0 && string(m.ID) != "null" }

// Key returns the id as a map key: equal for equal ids of one direction, and
// different for the number 1 and the string "1".
func (m Message) Key() string { return idKey(m.ID) }

// CancelledKey returns the Key of the request that a notifications/cancelled
// message names; empty where it names none.
func (m Message) CancelledKey() string {
	if m.Method != MethodCancelled || m.Params == nil {
		return ""
	}
	id, err := lookup(m.Params, "requestId")
	if err != nil || id == nil {
		return ""
	}
	return idKey(id)
}

// idKey gives strings one spelling, as JSON can escape what it likes; numbers
// are echoed as they were by every peer.
func idKey(id json.RawMessage) string {
	if len(id) > 0 && id[0] == '"' && bytes.IndexByte(id, '\\') >= 0 {
		var s string
		if json.Unmarshal(id, &s) == nil {
			return `"` + s + `"`
		}
	}
	return string(id)
}

// AppendResult appends the response that carries result to dst.
func AppendResult(dst []byte, id, result json.RawMessage) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = appendID(dst, id)
	dst = append(dst, `,"result":`...)
	dst = append(dst, result...)
	return append(dst, '}')
}

// AppendError appends the response that carries failure to dst. An id of nil is
// null, as JSON-RPC has it for requests whose id is not known.
func AppendError(dst []byte, id json.RawMessage, failure *Error) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = appendID(dst, id)
	dst = append(dst, `,"error":`...)
	body, err := json.Marshal(failure)
	if err != nil { // only Data can be at fault
		body, _ = json.Marshal(&Error{Code: failure.Code, Message: failure.Message})
	}
	dst = append(dst, body...)
	return append(dst, '}')
}

func appendID(dst []byte, id json.RawMessage) []byte {
	if len(id) == 0 {
		return append(dst, "null"...)
	}
	return append(dst, id...)
}
