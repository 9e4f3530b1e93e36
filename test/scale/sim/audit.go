package sim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Call is a request of the manager to the API server.
type Call struct {
	Verb string
	// Resource has the subresource behind a slash.
	Resource string
	At       time.Time
	Code     int
}

// Writes says whether the request was to change something.
func (c Call) Writes() bool {
	return !slices.Contains([]string{"get", "list", "watch"}, c.Verb)
}

// Calls returns the manager's requests between two moments, without those that
// ask what there is to ask for.
func (c *Cluster) Calls(from, to time.Time) ([]Call, error) {
	file, err := os.Open(c.audit)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer file.Close()
	var calls []Call
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var event struct {
			Verb                     string    `json:"verb"`
			RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`
			ObjectRef                struct {
				Resource    string `json:"resource"`
				Subresource string `json:"subresource"`
			} `json:"objectRef"`
			ResponseStatus struct {
				Code int `json:"code"`
			} `json:"responseStatus"`
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		at := event.RequestReceivedTimestamp
		if at.Before(from) || !at.Before(to) || event.ObjectRef.Resource == "" {
			continue
		}
		resource := strings.TrimSuffix(event.ObjectRef.Resource+"/"+event.ObjectRef.Subresource, "/")
		calls = append(calls, Call{Verb: event.Verb, Resource: resource, At: at, Code: event.ResponseStatus.Code})
	}
	return calls, lines.Err()
}
