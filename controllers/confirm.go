package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

// The cache of servers and that of policies are each right about some moment, but
// not about the same one: a server may be seen with its new label before the
// policy that was edited first. What follows from the two together may be what
// nobody ever declared, and laxer than all that was. So before another policy, or
// another version of one, is given to a server, the API server itself is asked
// for both.
//
// Versions of objects and of lists are points on one line. A server that still has
// a version from before the list was made had it when the list was made: then the
// two did stand side by side. That also lets one list do for all the servers that
// an edit of a policy concerns.
type confirmer struct {
	live client.Reader

	mu         sync.Mutex
	namespaces map[string]*listings
}

// listings is the newest listing of a namespace. Who needs a newer one waits for
// those who make one.
type listings struct {
	mu   sync.Mutex
	last listing
}

// listing is all policies of a namespace as they were at one moment.
type listing struct {
	version  string
	policies []mcpv1alpha1.SamplingPolicy
}

// errUnsteady means that a server is written faster than it can be read.
var errUnsteady = errors.New("the MCPServer changes all the time")

// confirm returns the snapshot as it was at a moment that is not before the one
// given, nil if the server is gone or going.
func (c *confirmer) confirm(ctx context.Context, snap *snapshot) (*snapshot, error) {
	key := client.ObjectKeyFromObject(snap.server)
	known := snap.server
	for range 5 {
		list, err := c.list(ctx, known, snap.policies)
		if err != nil {
			return nil, err
		}
		server := &mcpv1alpha1.MCPServer{}
		if err := c.live.Get(ctx, key, server); err != nil {
			if apierrors.IsNotFound(err) {
				return nil, nil
			}
			return nil, fmt.Errorf("get MCPServer from the API server: %w", err)
		}
		if !server.DeletionTimestamp.IsZero() {
			return nil, nil
		}
		if list.since(server) {
			return &snapshot{server: server, policies: list.policies, service: snap.service}, nil
		}
		known = server
	}
	return nil, errUnsteady
}

// list returns a listing that is not older than what is known.
func (c *confirmer) list(ctx context.Context, server *mcpv1alpha1.MCPServer, known []mcpv1alpha1.SamplingPolicy) (listing, error) {
	n := c.of(server.Namespace)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last.version != "" && n.last.since(server) && n.last.covers(known) {
		return n.last, nil
	}
	list := &mcpv1alpha1.SamplingPolicyList{}
	if err := c.live.List(ctx, list, client.InNamespace(server.Namespace)); err != nil {
		return listing{}, fmt.Errorf("list SamplingPolicies from the API server: %w", err)
	}
	n.last = listing{version: list.ResourceVersion, policies: list.Items}
	return n.last, nil
}

// mostListings bounds what is remembered; what is dropped is listed again.
const mostListings = 64

func (c *confirmer) of(namespace string) *listings {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.namespaces[namespace] == nil {
		if c.namespaces == nil || len(c.namespaces) >= mostListings {
			c.namespaces = map[string]*listings{}
		}
		c.namespaces[namespace] = &listings{}
	}
	return c.namespaces[namespace]
}

// since says whether the listing was made when obj had its version already.
func (l listing) since(obj client.Object) bool {
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), l.version)
	return err == nil && order <= 0
}

// covers says whether the listing is not older than these policies. A status that
// was written since does not count: nothing here depends on it. The listing may be
// older if it has one more: that can be gone by now.
func (l listing) covers(known []mcpv1alpha1.SamplingPolicy) bool {
	there := make(map[types.UID]bool, len(known))
	for i := range known {
		there[known[i].UID] = true
	}
	listed := make(map[types.UID]int64, len(l.policies))
	for i := range l.policies {
		if !there[l.policies[i].UID] {
			return false
		}
		listed[l.policies[i].UID] = l.policies[i].Generation
	}
	for i := range known {
		if generation, ok := listed[known[i].UID]; (!ok || generation < known[i].Generation) && !l.since(&known[i]) {
			return false
		}
	}
	return true
}

// moves says whether a plan gives a server another policy than it has, or another
// configuration under the same one.
func moves(plan resolve.Plan, attached *mcpv1alpha1.AttachedPolicy) bool {
	if plan.Policy == nil || attached == nil {
		return (plan.Policy == nil) != (attached == nil)
	}
	return plan.Policy.Name != attached.Name || plan.Policy.UID != attached.UID || plan.Config.Hash() != attached.Hash
}

// givens remembers the configuration that each server was given last. The status
// says it too, but may not have been written, or not have come back yet; a pass on
// a cache that is behind would then take what was before for what is.
//
// The zero value is ready to use.
type givens struct {
	mu   sync.Mutex
	hash map[types.NamespacedName]string
}

// differs says whether a plan is another one than that which was given; not where
// nothing was.
func (g *givens) differs(key types.NamespacedName, plan resolve.Plan) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	last, ok := g.hash[key]
	return ok && last != plan.Config.Hash()
}

func (g *givens) remember(key types.NamespacedName, plan resolve.Plan) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hash == nil {
		g.hash = map[types.NamespacedName]string{}
	}
	g.hash[key] = plan.Config.Hash()
}

func (g *givens) forget(key types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.hash, key)
}
