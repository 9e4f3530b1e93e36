package main

import "github.com/spf13/cobra"

func (p *plugin) initCommand() *cobra.Command { return &cobra.Command{Use: "init"} }
