// A plugin in the shape of DeepFlow's SDK, for tests: "Q 7 text" asks, "A 7 text"
// answers, each told of in two parts.
package main

func main() {} // does not run in a plugin
