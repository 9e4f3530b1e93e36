package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// parseArguments reads NAME=VALUE words. NAME:=JSON passes a value that is not
// a string, such as limit:=3.
func parseArguments(words []string) (map[string]any, error) {
	arguments := map[string]any{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" || name == ":" {
			return nil, fmt.Errorf("argument %q: write NAME=VALUE, or NAME:=JSON", word)
		}
		if raw, isJSON := strings.CutSuffix(name, ":"); isJSON {
			var decoded any
			if err := json.Unmarshal([]byte(value), &decoded); err != nil {
				return nil, fmt.Errorf("argument %q: the value after := must be JSON: %w", word, err)
			}
			arguments[raw] = decoded
			continue
		}
		arguments[name] = value
	}
	return arguments, nil
}
