package wire

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// field is a member of an object that is read, and where it goes.
type field struct {
	name string
	into any // *json.RawMessage, *string, **string or what json.Unmarshal takes
}

// decodeFields does for an object, which must be valid JSON, what json.Unmarshal
// does for a struct, and finds the same mistakes. That reads all of a text twice
// on each level that it stands in; here most of it is read once. Raw values share
// data's memory.
func decodeFields(at string, data json.RawMessage, fields ...field) *Error {
	if !startsObject(data) {
		if err := json.Unmarshal(data, &struct{}{}); err != nil { // null is as good as nothing
			return wrongJSON(at, err)
		}
		return nil
	}
	var wrong *Error
	err := eachMember(data, func(m member) error {
		f := fieldNamed(fields, m.name)
		if f == nil {
			return nil
		}
		value := data[m.valueStart:m.valueEnd:m.valueEnd]
		if err := decodeField(value, f.into); err != nil && wrong == nil {
			place := f.name
			if at != "" {
				place = at + "." + f.name
			}
			wrong = wrongJSON(place, err)
		}
		return nil
	})
	if err != nil {
		return wrongJSON(at, err)
	}
	return wrong
}

// fieldNamed finds a field as encoding/json does.
func fieldNamed(fields []field, name []byte) *field {
	for i := range fields {
		if fields[i].name == string(name) {
			return &fields[i]
		}
	}
	for i := range fields {
		if bytes.EqualFold([]byte(fields[i].name), name) {
			return &fields[i]
		}
	}
	return nil
}

func decodeField(value json.RawMessage, into any) error {
	switch into := into.(type) {
	case *json.RawMessage:
		*into = value
		return nil
	case *string:
		if text, ok := plainString(value); ok {
			*into = text
			return nil
		}
	case **string:
		if text, ok := plainString(value); ok {
			*into = &text
			return nil
		}
	}
	return json.Unmarshal(value, into)
}

// plainString returns a string in which nothing has to be replaced.
func plainString(value json.RawMessage) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	text := value[1 : len(value)-1]
	if bytes.IndexByte(text, '\\') >= 0 || !utf8.Valid(text) {
		return "", false
	}
	return string(text), true
}
