-- wrk asks the addresses in $TO ("host:port host:port …"), each connection the next one; the end is one line of JSON.
local addresses, number = {}, 0

function init()
   for host, port in os.getenv("TO"):gmatch("(%S+):(%d+)") do
      table.insert(addresses, wrk.lookup(host, port)[1])
   end
end

function request()
   number = number % #addresses + 1
   wrk.thread.addr = addresses[number] -- of the connection that follows this one
   return wrk.format()
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format('\n{"requests": %d, "microseconds": %d, "errors": %d}\n', summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
