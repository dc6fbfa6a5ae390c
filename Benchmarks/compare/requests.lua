-- Asks the devices named in DEVICES, PREFIX:COUNT[,PREFIX:COUNT…], one after the other; with DELAY, so many milliseconds
-- after each answer. Says at the end what wrk counted, as one line of JSON.

local devices = os.getenv("DEVICES")
local pause = tonumber(os.getenv("DELAY") or "")

local requests = {}
local last = 0

function init()
    for prefix, count in devices:gmatch("([^:,]+):(%d+)") do
        for number = 1, count do
            requests[#requests + 1] = wrk.format("GET", "/" .. prefix .. number .. "/light")
        end
    end
end

function request()
    last = last % #requests + 1
    return requests[last]
end

if pause then
    function delay()
        return pause
    end
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format(
        'JSON {"requests": %d, "us": %d, "bytes": %d, "failed": %d, "p50_us": %d, "p99_us": %d, "max_us": %d}',
        summary.requests, summary.duration, summary.bytes,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99), latency.max))
end
