package wire

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

// What is two bytes on the wire takes hundreds once it is read, so a list is
// bounded by its items, and read no further than to the first wrong one.
func TestAListTakesNoMoreMemoryThanItsText(t *testing.T) {
	const size = 4 << 20
	fill := func(before, item, after string) string {
		n := (size - len(before) - len(after)) / (len(item) + 1)
		return before + strings.Repeat(item+",", n-1) + item + after
	}
	text := `{"type":"text","text":""}`
	for name, tc := range map[string]struct{ params, want string }{
		"blocks of nothing": {fill(`{"maxTokens":1,"messages":[{"role":"user","content":[`, `{}`, `]}]}`), "messages[0].content[0].type: is missing"},
		"blocks": {fill(`{"maxTokens":1,"messages":[{"role":"user","content":[`, text, `]}]}`),
			"messages[0].content: has too many items: a request may have at most 4096"},
		"blocks of several messages": {fill(`{"maxTokens":1,"messages":[`, `{"role":"user","content":[`+text+`,`+text+`]}`, `]}`),
			"messages[2048].content[0]: is one block too many: a request may have at most 4096"},
		"blocks of a result": {fill(`{"maxTokens":1,"messages":[{"role":"user","content":{"type":"tool_result","toolUseId":"a","content":[`, text, `]}}]}`),
			"messages[0].content.content[4095]: is one block too many: a request may have at most 4096"},
		"messages of nothing": {fill(`{"maxTokens":1,"messages":[`, `{}`, `]}`), "messages[0].role: must be user or assistant"},
		"messages":            {fill(`{"maxTokens":1,"messages":[`, `{"role":"user","content":[]}`, `]}`), "messages: has too many items: a request may have at most 4096"},
		"tools of nothing":    {fill(`{"maxTokens":1,"tools":[`, `{}`, `]}`), "tools: has too many items: a request may have at most 1024"},
		"hints":               {fill(`{"maxTokens":1,"modelPreferences":{"hints":[`, `{}`, `]}}`), "modelPreferences.hints: has too many items: a request may have at most 64"},
		"stop sequences":      {fill(`{"maxTokens":1,"stopSequences":[`, `""`, `]}`), "stopSequences: has too many items: a request may have at most 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			NeedsTools(json.RawMessage(tc.params))
			_, err := DecodeSamplingParams(json.RawMessage(tc.params))
			runtime.ReadMemStats(&after)
			if err == nil || err.Code != CodeInvalidParams || err.Message != tc.want {
				t.Errorf("error %+v, want %d %q", err, CodeInvalidParams, tc.want)
			}
			if taken := after.TotalAlloc - before.TotalAlloc; taken > 10*size {
				t.Errorf("to read %d MB took %d MB", size>>20, taken>>20)
			}
		})
	}
}
