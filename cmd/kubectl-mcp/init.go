package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/cluster"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/scaffold"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// checkTimeout is for asking a cluster that may not be there.
const checkTimeout = 10 * time.Second

func (p *plugin) initCommand() *cobra.Command {
	var a scaffold.Answers
	var apply bool
	cmd := &cobra.Command{
		Use:   "init [--name NAME] [--image IMAGE | --service NAME:PORT | --url URL] [--provider TYPE --model MODEL] [-- COMMAND…]",
		Short: "Write a first MCPServer and SamplingPolicy, by flags or by questions",
		Long: `Write a first MCPServer, and a SamplingPolicy for it, as YAML to standard output.
On a terminal it asks for what flags do not say. With --apply the cluster gets them,
by server-side apply.

A cluster that can be reached is asked first whether it would take them (a dry
run, of both before either is written). Keys are never asked for: the policy names a
Secret, and how to create it is said at the end.

Rights: patch and create mcpservers and samplingpolicies; none to print only.`,
		Example: `  kubectl mcp init
  kubectl mcp init --name tickets --image registry.example.com/tickets:1.4 --port 8000 \
    --provider OpenAI --model gpt-4o-mini --secret openai > tickets.yaml
  kubectl mcp init --name files --image registry.example.com/files:2 --transport Stdio --apply -- npx files-server`,
		RunE: func(cmd *cobra.Command, command []string) error {
			if len(command) > 0 && cmd.ArgsLenAtDash() != 0 {
				return fmt.Errorf("%q is no flag: write the server's command after --", command[0])
			}
			a.Command = command
			return p.init(cmd.Context(), &a, apply)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&a.Name, "name", "", "the `name` of both")
	flags.StringVar(&a.Image, "image", "", "run the server from this `image`")
	flags.StringVar(&a.Service, "service", "", "the server is behind this Service: `NAME:PORT`")
	flags.StringVar(&a.URL, "url", "", "the server is elsewhere, at this `URL`")
	flags.StringVar(&a.Transport, "transport", "", "StreamableHTTP (the default), SSE or Stdio")
	flags.Int32Var(&a.Port, "port", 0, "the `port` that an image's server listens on (default 8000)")
	flags.StringVar(&a.Path, "path", "", "the server's `path` (default /mcp)")
	flags.StringVar(&a.Provider, "provider", "", "who runs the model: OpenAI (and all that speak its API), Anthropic, GoogleGenAI or Webhook; without it there is no policy")
	flags.StringVar(&a.Model, "model", "", "the model's `name` at the provider")
	flags.StringVar(&a.BaseURL, "base-url", "", "the provider's `URL`, where it is not the vendor's own")
	flags.StringVar(&a.Secret, "secret", "", "the Secret with the provider's key: `NAME` or NAME:KEY (key api-key)")
	flags.BoolVar(&apply, "apply", false, "apply them to the cluster")
	for flag, values := range map[string][]string{
		"transport": {"StreamableHTTP", "SSE", "Stdio"}, "provider": {"OpenAI", "Anthropic", "GoogleGenAI", "Webhook"},
	} {
		must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	return cmd
}

func (p *plugin) init(ctx context.Context, a *scaffold.Answers, apply bool) error {
	if terminal.IsTerminal(p.In) && (a.Name == "" || a.Image+a.Service+a.URL == "") {
		if err := p.ask(a); err != nil {
			return err
		}
	}
	if *p.flags.Namespace != "" {
		a.Namespace = *p.flags.Namespace
	}
	server, policy, err := scaffold.Make(*a)
	if err != nil {
		return err
	}
	manifest := []any{server}
	objects := []client.Object{server.DeepCopy()}
	if policy != nil {
		manifest = append(manifest, policy)
		objects = append(objects, policy.DeepCopy())
	}
	text, err := scaffold.YAML(manifest...)
	if err != nil {
		return err
	}
	c, err := p.dryRun(ctx, objects, apply)
	if err != nil {
		return err
	}
	if !apply {
		if _, err := p.Out.Write(text); err != nil {
			return err
		}
		p.nextSteps(policy, server.Name)
		return nil
	}
	for _, object := range objects {
		if err := c.Apply(ctx, object, false); err != nil {
			return err
		}
		kind := "mcpserver"
		if _, is := object.(*mcpv1alpha1.SamplingPolicy); is {
			kind = "samplingpolicy"
		}
		if _, err := fmt.Fprintf(p.Out, "%s.mcp-sampling.dev/%s applied\n", kind, object.GetName()); err != nil {
			return err
		}
	}
	p.nextSteps(policy, server.Name)
	return nil
}

// dryRun asks the cluster whether it would take the objects. Where they are not to
// be applied a cluster that cannot be asked is no error.
func (p *plugin) dryRun(ctx context.Context, objects []client.Object, needed bool) (*cluster.Cluster, error) {
	limited, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	unasked := func(err error) (*cluster.Cluster, error) {
		if needed || ctx.Err() != nil {
			return nil, err
		}
		p.say("Not checked by a cluster: %s", terminal.Line(err.Error()))
		return nil, nil
	}
	c, err := p.connect()
	if err != nil {
		return unasked(err)
	}
	for _, object := range objects {
		copied, ok := object.DeepCopyObject().(client.Object)
		if !ok {
			return nil, fmt.Errorf("%T is no object", object)
		}
		err := c.Apply(limited, copied, true)
		var refused *cluster.RefusedError
		if errors.As(err, &refused) {
			return nil, err
		}
		if err != nil {
			return unasked(err)
		}
	}
	return c, nil
}

// nextSteps says what to do now.
func (p *plugin) nextSteps(policy *mcpv1alpha1.SamplingPolicy, server string) {
	if policy != nil && policy.Spec.Providers[0].Credential != nil {
		ref := policy.Spec.Providers[0].Credential.SecretKeyRef
		p.say("The provider's key: kubectl create secret generic %s --from-file=%s=FILE%s", ref.Name, ref.Key, p.there())
	}
	p.say("How they are: kubectl mcp status %s%s", server, p.there())
}

// ask asks for what flags have not said.
func (p *plugin) ask(a *scaffold.Answers) error {
	in := bufio.NewReader(p.In)
	question := func(value *string, text, otherwise string) error {
		if *value != "" {
			return nil
		}
		if otherwise != "" {
			text += " [" + otherwise + "]"
		}
		_, _ = fmt.Fprint(p.ErrOut, text+": ")
		answer, err := in.ReadString('\n')
		if err != nil && (!errors.Is(err, io.EOF) || answer == "") {
			return errors.New("the questions were not all answered: --help names the flags for them")
		}
		if *value = strings.TrimSpace(answer); *value == "" {
			*value = otherwise
		}
		return nil
	}
	if err := question(&a.Name, "Name of the server", ""); err != nil {
		return err
	}
	if a.Image+a.Service+a.URL == "" {
		where := ""
		if err := question(&where, "Where it is: an image, an address (https://…), or a Service (NAME:PORT with --service)", ""); err != nil {
			return err
		}
		if strings.Contains(where, "://") {
			a.URL = where
		} else {
			a.Image = where
		}
	}
	if err := question(&a.Provider, "Who runs the model: OpenAI, Anthropic, GoogleGenAI, Webhook, or none", "OpenAI"); err != nil {
		return err
	}
	if a.Provider == "none" {
		a.Provider = ""
		return nil
	}
	if err := question(&a.Model, "Model", ""); err != nil {
		return err
	}
	if err := question(&a.BaseURL, "Address of the provider, if it is not the vendor's own", ""); err != nil {
		return err
	}
	return question(&a.Secret, "Secret with its key: NAME or NAME:KEY, empty for none", "")
}
