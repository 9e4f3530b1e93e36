package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// member is one member of a JSON object, by its place in the bytes scanned.
type member struct {
	name                 []byte // unescaped
	keyStart             int
	valueStart, valueEnd int
}

var errNotObject = errors.New("not a JSON object")

// eachMember calls visit for each member of the object that data holds, and
// checks of the values only where they end.
func eachMember(data []byte, visit func(member) error) error {
	i := skipSpace(data, 0)
	if i >= len(data) || data[i] != '{' {
		return errNotObject
	}
	i = skipSpace(data, i+1)
	if i < len(data) && data[i] == '}' {
		return atEnd(data, i+1)
	}
	for {
		var f member
		var err error
		f.keyStart = i
		keyEnd, err := skipString(data, i)
		if err != nil {
			return err
		}
		if f.name, err = unquote(data[i:keyEnd]); err != nil {
			return err
		}
		i = skipSpace(data, keyEnd)
		if i >= len(data) || data[i] != ':' {
			return syntaxError(data, i)
		}
		f.valueStart = skipSpace(data, i+1)
		if f.valueEnd, err = skipValue(data, f.valueStart); err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		i = skipSpace(data, f.valueEnd)
		switch {
		case i >= len(data):
			return syntaxError(data, i)
		case data[i] == '}':
			return atEnd(data, i+1)
		case data[i] != ',':
			return syntaxError(data, i)
		}
		i = skipSpace(data, i+1)
	}
}

// lookup returns the value of the last member called name; nil if none is.
func lookup(data []byte, name string) (json.RawMessage, error) {
	var value json.RawMessage
	err := eachMember(data, func(f member) error {
		if string(f.name) == name {
			value = data[f.valueStart:f.valueEnd]
		}
		return nil
	})
	return value, err
}

func atEnd(data []byte, i int) error {
	if i = skipSpace(data, i); i < len(data) {
		return syntaxError(data, i)
	}
	return nil
}

func syntaxError(data []byte, i int) error {
	if i >= len(data) {
		return errors.New("unexpected end of JSON")
	}
	return fmt.Errorf("invalid JSON at byte %d", i)
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the place after the string that begins at i.
func skipString(data []byte, i int) (int, error) {
	if i >= len(data) || data[i] != '"' {
		return 0, syntaxError(data, i)
	}
	// Long texts are most of the bytes: find their end by the fast search, once
	// for each quote. A run of backslashes before a quote begins after the quote
	// before it, so none is counted twice.
	for i++; i < len(data); i++ {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			break
		}
		i += n
		backslashes := 0
		for data[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1, nil
		}
	}
	return 0, syntaxError(data, len(data))
}

// skipValue returns the place after the value that begins at i. It counts
// brackets, so depth costs nothing.
func skipValue(data []byte, i int) (int, error) {
	if i >= len(data) {
		return 0, syntaxError(data, i)
	}
	switch data[i] {
	case '"':
		return skipString(data, i)
	case '{', '[':
	default:
		end := i
		for end < len(data) && isScalar(data[end]) {
			end++
		}
		if end == i {
			return 0, syntaxError(data, i)
		}
		return end, nil
	}
	depth := 0
	for i < len(data) {
		switch data[i] {
		case '"':
			end, err := skipString(data, i)
			if err != nil {
				return 0, err
			}
			i = end
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
		i++
	}
	return 0, syntaxError(data, i)
}

func isScalar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E'
}

func unquote(quoted []byte) ([]byte, error) {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, fmt.Errorf("member name: %w", err)
	}
	return []byte(s), nil
}
