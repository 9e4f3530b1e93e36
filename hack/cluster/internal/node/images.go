package node

import (
	"context"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/image"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
)

// importPause loads the image that every pod starts with.
func importPause(ctx context.Context, c layout.Cluster) error {
	_, err := image.Import(ctx, settings.ContainerdSocket, c.Path("pause.tar"))
	return err
}
