// The plugin that is measured, as head.c, with the stock compiler.
package main

func main() {} // does not run in a plugin
