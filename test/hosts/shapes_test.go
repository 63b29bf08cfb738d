package hosts

// withSDK is a request of the instrumented shop: every place that it passes, in
// order of the path. What is not instrumented in the shop, its call of Redis,
// hangs on the server span there.
const withSDK = `c-gw r0 GET /orders/{id}
 s-gw r1 GET /orders/{id}
  s h1 GET /orders/{id}
   s-p nginx GET /orders/{id}
    c-p nginx GET /orders/{id}
     c h1 GET /orders/{id}
      c-gw r1 GET /orders/{id}
       s-gw r2 GET /orders/{id}
        s h2 GET /orders/{id}
         s-p shop GET /orders/{id}
          app shop GET
           c-p shop INCR
            c h2 INCR
             c-gw r2 INCR
              s-gw r3 INCR
               s h3 INCR
                s-p redis-server INCR
           app shop HTTP GET
            c-p shop GET /orders/{id}
             c h2 GET /orders/{id}
              c-gw r2 GET /orders/{id}
               s-gw r3 GET /orders/{id}
                s h3 GET /orders/{id}
                 s-p store GET /orders/{id}
                  c-p store DNS A
                   local lo DNS A
                    s-p dnsmasq DNS A
                  c-p store SELECT information_schema.tables
                   local lo SELECT information_schema.tables
                    s-p mariadbd SELECT information_schema.tables
                  c-p store SET
                   local lo SET
                    s-p redis-server SET
`

// withoutSDK is the same with nothing instrumented.
const withoutSDK = `c-gw r0 GET /orders/{id}
 s-gw r1 GET /orders/{id}
  s h1 GET /orders/{id}
   s-p nginx GET /orders/{id}
    c-p nginx GET /orders/{id}
     c h1 GET /orders/{id}
      c-gw r1 GET /orders/{id}
       s-gw r2 GET /orders/{id}
        s h2 GET /orders/{id}
         s-p shop GET /orders/{id}
          c-p shop INCR
           c h2 INCR
            c-gw r2 INCR
             s-gw r3 INCR
              s h3 INCR
               s-p redis-server INCR
          c-p shop GET /orders/{id}
           c h2 GET /orders/{id}
            c-gw r2 GET /orders/{id}
             s-gw r3 GET /orders/{id}
              s h3 GET /orders/{id}
               s-p store GET /orders/{id}
                c-p store DNS A
                 local lo DNS A
                  s-p dnsmasq DNS A
                c-p store SELECT information_schema.tables
                 local lo SELECT information_schema.tables
                  s-p mariadbd SELECT information_schema.tables
                c-p store SET
                 local lo SET
                  s-p redis-server SET
`
