package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MaxItems bounds a list of an answer. It is more blocks, or calls of tools,
// than any model gives at once.
const MaxItems = 1024

// Items returns the items of a list of an answer, and none of null. They are
// counted before anything is made of them: three bytes become hundreds in
// memory. list is JSON that was found valid; the items are parts of it. The
// error is an *Error.
func Items(list json.RawMessage) ([]json.RawMessage, error) {
	list = bytes.TrimSpace(list)
	if len(list) == 0 || string(list) == "null" {
		return nil, nil
	}
	if list[0] != '[' {
		return nil, &Error{Kind: KindInvalid, Detail: "its answer has something else where a list belongs"}
	}
	list = bytes.TrimSpace(list[1 : len(list)-1])
	if len(list) == 0 {
		return nil, nil
	}
	var (
		items    []json.RawMessage
		start    int
		depth    int
		inString bool
	)
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			if items = append(items, list[start:i]); len(items) == MaxItems {
				return nil, &Error{Kind: KindInvalid, Detail: fmt.Sprintf("its answer holds a list of more than %d items", MaxItems)}
			}
			start = i + 1
		}
	}
	return append(items, list[start:]), nil
}
