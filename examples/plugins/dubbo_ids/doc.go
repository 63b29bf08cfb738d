// The plugin dubbo_ids reads ids from the attachments of Dubbo calls: Pinpoint's
// transaction id becomes the trace id, `request_id` the request id of the
// exchange, `entry_id` an attribute. It has the shape of a plugin of DeepFlow's
// SDK.
//
// Attachments come last in a call, a Hessian2 map of strings. They are looked for
// by name, wherever they are, so that arguments of classes that nobody here knows
// do not matter.
package main

func main() {} // does not run in a plugin
