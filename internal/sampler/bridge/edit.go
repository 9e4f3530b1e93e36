package bridge

import (
	"bytes"
	"encoding/json"
)

// span is the place of a value.
type span struct{ start, end int }

// member returns the value at path in object, which is valid JSON; nil if there
// is none. Of several members of one name the last counts.
func member(object []byte, path ...string) json.RawMessage {
	value := span{0, len(object)}
	for _, name := range path {
		found := spans(object, value, name)
		if len(found) == 0 {
			return nil
		}
		value = found[len(found)-1]
	}
	return object[value.start:value.end]
}

// text returns the string at path; empty if there is none.
func text(object []byte, path ...string) string {
	var s string
	if raw := member(object, path...); raw == nil || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// replace returns object with value at path, wherever there is one already. No
// other byte changes.
func replace(object, value []byte, path ...string) []byte {
	places := []span{{0, len(object)}}
	for _, name := range path {
		var next []span
		for _, place := range places {
			next = append(next, spans(object, place, name)...)
		}
		places = next
	}
	if len(places) == 0 {
		return object
	}
	edited := make([]byte, 0, len(object)+len(places)*len(value))
	last := 0
	for _, place := range places {
		edited = append(append(edited, object[last:place.start]...), value...)
		last = place.end
	}
	return append(edited, object[last:]...)
}

// spans returns the places of all members called name of the object at place.
func spans(data []byte, place span, name string) []span {
	i := skipSpace(data, place.start)
	if i >= place.end || data[i] != '{' {
		return nil
	}
	var found []span
	for i = skipSpace(data, i+1); i < place.end && data[i] == '"'; i = skipSpace(data, i+1) {
		end := skipValue(data, i)
		same := isName(data[i:end], name)
		start := skipSpace(data, skipSpace(data, end)+1) // after the colon
		end = skipValue(data, start)
		if start >= end {
			return found
		}
		if same {
			found = append(found, span{start, end})
		}
		if i = skipSpace(data, end); i >= place.end || data[i] != ',' {
			break
		}
	}
	return found
}

func isName(quoted []byte, name string) bool {
	if len(quoted) < 2 {
		return false
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	var s string
	return json.Unmarshal(quoted, &s) == nil && s == name
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the place after the value at i of valid JSON.
func skipValue(data []byte, i int) int {
	depth := 0
	for ; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(data))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // the end of what a scalar stands in
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(data)
}
