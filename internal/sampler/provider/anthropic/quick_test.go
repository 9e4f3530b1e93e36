package anthropic

import (
	"fmt"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/hostile"
)

// A server that knows how ids are made takes those that come next.
func TestIDsThatAreTakenCostNothing(t *testing.T) {
	const many = 20_000
	ids := newIDs()
	hostile.WantQuick(t, func() {
		for i := range many {
			ids.use(fmt.Sprintf("toolu_%d", many+i+1))
		}
		for i := range many {
			ids.use(fmt.Sprintf("é%d", i))
		}
	})
	if len(ids.taken) != 2*many {
		t.Errorf("%d ids, want %d", len(ids.taken), 2*many)
	}
}
