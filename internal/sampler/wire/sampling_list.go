package wire

import (
	"encoding/json"
	"fmt"
)

// What one sampling request may hold. An item of two bytes takes hundreds once it
// is read, so the length of a message alone does not bound what it takes.
const (
	maxMessages = 4096
	maxBlocks   = 4096 // in all messages and results of tools
	maxTools    = 1024
	maxStops    = 1024
	// maxHints is low: each is compared with all that models are called.
	maxHints = 64

	// maxMaxTokens is what all providers can still read as a number.
	maxMaxTokens = 1<<31 - 1
	// maxName is far above what the protocol and providers allow for a tool, and
	// above what any model is called.
	maxName = 1024
	// maxID is high: some gateways keep what a model thought in the ids of its
	// tool calls.
	maxID = 64 << 10
)

// eachItem visits the items of a list one by one, and stops at the first error.
// The list must be valid JSON; null and nothing are a list without items.
func eachItem(at string, list json.RawMessage, most int, visit func(i int, item json.RawMessage) *Error) *Error {
	i := skipSpace(list, 0)
	if i >= len(list) || list[i] == 'n' {
		return nil
	}
	if list[i] != '[' {
		var want []struct{}
		return wrongJSON(at, json.Unmarshal(list, &want))
	}
	i = skipSpace(list, i+1)
	for n := 0; i < len(list) && list[i] != ']'; n++ {
		if n == most {
			return tooMany(at, most)
		}
		end, err := skipValue(list, i)
		if err != nil {
			return wrongJSON(at, err)
		}
		if err := visit(n, list[i:end]); err != nil {
			return err
		}
		if i = skipSpace(list, end); i < len(list) && list[i] == ',' {
			i = skipSpace(list, i+1)
		}
	}
	return nil
}

func tooMany(at string, most int) *Error {
	return invalid(at, fmt.Sprintf("has too many items: a request may have at most %d", most))
}

// decodeItems reads a list of at most so many.
func decodeItems[T any](at string, list json.RawMessage, most int) ([]T, *Error) {
	if absent(list) {
		return nil, nil
	}
	items := []T{}
	err := eachItem(at, list, most, func(i int, item json.RawMessage) *Error {
		var v T
		if err := json.Unmarshal(item, &v); err != nil {
			return wrongJSON(itemAt(at, i), err)
		}
		items = append(items, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// bounded is nonEmpty for what names something.
func bounded(at string, s *string, most int) (string, *Error) {
	name, err := nonEmpty(at, s)
	if err == nil && len(name) > most {
		err = tooLong(at, most)
	}
	return name, err
}

func tooLong(at string, most int) *Error {
	return invalid(at, fmt.Sprintf("is longer than %d bytes", most))
}
