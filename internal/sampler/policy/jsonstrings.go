package policy

import (
	"bytes"
	"encoding/json"
)

func anyKey(string) bool { return true }

// editStrings returns a JSON text with its strings as edit changes them: those
// that are values, below the last key that which takes, names of keys never. All
// other bytes stay, so that numbers keep their spelling. The text that was given
// never changes. What is no JSON is returned as it is.
func editStrings(raw json.RawMessage, which func(key string) bool, edit func(string) (string, bool)) (_ json.RawMessage, changed bool) {
	var out []byte
	done, takes := 0, which("")
	for at := 0; at < len(raw); {
		if raw[at] != '"' {
			at++
			continue
		}
		end := endOfString(raw, at)
		if end < 0 {
			return raw, false
		}
		token := raw[at:end]
		if next := afterSpace(raw, end); next < len(raw) && raw[next] == ':' {
			key, ok := unquote(token)
			if !ok {
				return raw, false
			}
			takes = which(key)
			at = next + 1
			continue
		}
		at = end
		if !takes {
			continue
		}
		text, ok := unquote(token)
		if !ok {
			return raw, false
		}
		if text, ok = edit(text); ok {
			out = append(out, raw[done:end-len(token)]...)
			out = append(out, quote(text)...)
			done, changed = end, true
		}
	}
	if !changed {
		return raw, false
	}
	return append(out, raw[done:]...), true
}

// endOfString returns the index after the string that begins at start, or -1.
func endOfString(raw []byte, start int) int {
	for i := start + 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func afterSpace(raw []byte, at int) int {
	for at < len(raw) && (raw[at] == ' ' || raw[at] == '\t' || raw[at] == '\n' || raw[at] == '\r') {
		at++
	}
	return at
}

func unquote(token []byte) (text string, ok bool) {
	if !bytes.ContainsRune(token, '\\') {
		return string(token[1 : len(token)-1]), true
	}
	return text, json.Unmarshal(token, &text) == nil
}

// quote leaves <, > and & alone: what is quoted is often code.
func quote(text string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string can always be written
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
