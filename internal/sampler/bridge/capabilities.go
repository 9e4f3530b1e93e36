package bridge

import (
	"encoding/json"
	"slices"
)

// asking are the capabilities of callers by which a server knows what it may ask
// them. Others are no reason for another process.
var asking = [][]string{
	{"sampling"}, {"sampling", "tools"}, {"sampling", "context"},
	{"elicitation"}, {"elicitation", "form"}, {"elicitation", "url"},
	{"roots"}, {"tasks"},
}

// lacks reports whether a caller declares in capabilities what a process has not
// been told.
func lacks(told, capabilities json.RawMessage) bool {
	return slices.ContainsFunc(asking, func(path []string) bool {
		return member(capabilities, path...) != nil && member(told, path...) == nil
	})
}

// declareAll returns the params of initialize with what others have declared
// before. Those without capabilities stay as they are.
func declareAll(params, told json.RawMessage) json.RawMessage {
	declared := member(params, "capabilities")
	if declared == nil || !lacks(declared, told) {
		return params
	}
	var all, others map[string]any
	if json.Unmarshal(declared, &all) != nil || all == nil || json.Unmarshal(told, &others) != nil {
		return params
	}
	for _, path := range asking {
		if len(path) == 1 && others[path[0]] != nil {
			all[path[0]] = united(all[path[0]], others[path[0]])
		}
	}
	merged, err := json.Marshal(all)
	if err != nil {
		return params
	}
	return replace(params, merged, "capabilities")
}

// united returns what either of two capabilities has.
func united(mine, theirs any) any {
	a, isObject := mine.(map[string]any)
	b, both := theirs.(map[string]any)
	if !isObject || !both {
		if mine == nil {
			return theirs
		}
		return mine
	}
	for name, value := range b {
		if _, there := a[name]; !there {
			a[name] = value
		}
	}
	return a
}

// retire lets a shared process end with its last session.
func (x *mux) retire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.retired = true
	x.stopIfRetired()
}

// enter counts a caller that is to have a session of the process, until the
// function that it returns is called.
func (x *mux) enter() (entered func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entering++
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.entering--
		x.stopIfRetired()
	}
}

// stopIfRetired is called when a session has left. The mutex is held.
func (x *mux) stopIfRetired() {
	if x.retired && len(x.sessions) == 0 && x.entering == 0 {
		x.process.stop()
	}
}
