// The plugin http_status_rewrite makes an HTTP 200 an error where the body says
// so: {"OPT_STATUS":"FAIL","OPT_MESSAGE":"no money"}.
package main

func main() {} // does not run in a plugin
