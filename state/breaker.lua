-- The state machine of state/breaker.py, once more, as one atomic step inside Redis.
-- What is changed here is changed there; the tests hold both to the same decisions.
--
-- KEYS[1]  the circuit's hash. It has no time to live: an open circuit is never forgotten.
-- ARGV     operation, now_ms (empty: Redis's own clock, which all processes share), the
--          configuration as 'window min_calls failure_rate slow_rate open_ms open_max_ms probes
--          lease_ms', and then
--          admit    lease id
--          report   the permit's epoch, its lease or '', the outcome's digit
--          release  the permit's epoch, its lease
--          read
--          merge    base epoch and our circuit's eight fields, in the order of FIELDS
-- Returns  one string, since a client reads one faster than fourteen, with commas between
--          'admitted', 'rejected', 'ours', 'theirs' or ''; the permit's epoch and lease;
--          the state before and the reason where there was a transition, else '' and '';
--          now_ms; the circuit's eight fields.

local CLOCK_SLACK_MS = 1000
local MAX_DOUBLINGS = 30
local FIELDS = {'state', 'epoch', 'since', 'opened', 'until', 'streak', 'window', 'leases'}

local operation = ARGV[1]
local figures = {}
for figure in string.gmatch(ARGV[3], '%S+') do
  figures[#figures + 1] = tonumber(figure)
end
local config = {
  window = figures[1],
  min_calls = figures[2],
  failure_rate = figures[3],
  slow_rate = figures[4],
  open_ms = figures[5],
  open_max_ms = figures[6],
  probes = figures[7],
  lease_ms = figures[8],
}

local now
if ARGV[2] ~= '' then
  now = tonumber(ARGV[2])
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A circuit as a table, from its fields as strings; leases are 'id=end id=end'.
local function decoded(values)
  local leases = {}
  for id, ends in string.gmatch(values[8] or '', '(%S+)=(%d+)') do
    leases[#leases + 1] = {id, tonumber(ends)}
  end
  return {
    state = values[1] or 'closed',
    epoch = tonumber(values[2] or 0),
    since = tonumber(values[3] or 0),
    opened = tonumber(values[4] or 0),
    ['until'] = tonumber(values[5] or 0),
    streak = tonumber(values[6] or 0),
    window = values[7] or '',
    leases = leases,
  }
end

-- Numbers are written out: Lua would shorten a time to 1.7e+12.
local function encoded(circuit)
  local leases = {}
  for i, lease in ipairs(circuit.leases) do
    leases[i] = lease[1] .. '=' .. string.format('%.0f', lease[2])
  end
  return {
    circuit.state,
    string.format('%.0f', circuit.epoch),
    string.format('%.0f', circuit.since),
    string.format('%.0f', circuit.opened),
    string.format('%.0f', circuit['until']),
    string.format('%.0f', circuit.streak),
    circuit.window,
    table.concat(leases, ' '),
  }
end

local function count(window, digits)
  local _, found = string.gsub(window, '[' .. digits .. ']', '')
  return found
end

local stored = redis.call('HMGET', KEYS[1], unpack(FIELDS))
for i = 1, #FIELDS do
  stored[i] = stored[i] or nil
end
local circuit = decoded(stored)
local verdict, permit_epoch, permit_lease, old_state, reason = '', '', '', '', ''

local function transition(state, why)
  old_state, reason = circuit.state, why
  local closed = state == 'closed'
  circuit = {
    state = state,
    epoch = circuit.epoch + 1,
    since = now,
    opened = closed and 0 or circuit.opened,
    ['until'] = 0,
    streak = closed and 0 or circuit.streak,
    window = '',
    leases = {},
  }
end

local function open(why)
  local window, streak = circuit.window, circuit.streak
  transition('open', why)
  circuit.window, circuit.streak, circuit.opened = window, streak + 1, now
  local open_ms = config.open_ms * 2 ^ math.min(streak, MAX_DOUBLINGS)
  circuit['until'] = now + math.min(open_ms, config.open_max_ms)
end

local function drop_expired()
  local kept = {}
  for _, lease in ipairs(circuit.leases) do
    if now < lease[2] and lease[2] <= now + config.lease_ms + CLOCK_SLACK_MS then
      kept[#kept + 1] = lease
    end
  end
  circuit.leases = kept
end

-- Removes a lease; false when it is not there.
local function give_back(id)
  for i, lease in ipairs(circuit.leases) do
    if lease[1] == id then
      table.remove(circuit.leases, i)
      return true
    end
  end
  return false
end

local function permit(lease)
  verdict, permit_epoch, permit_lease = 'admitted', string.format('%.0f', circuit.epoch), lease
end

local function admit(lease_id)
  verdict = 'rejected'
  if circuit.state == 'open' then
    if circuit.since - CLOCK_SLACK_MS <= now and now < circuit['until'] then
      return
    end
    transition('half_open', 'open_time_over')
  elseif circuit.state == 'half_open' then
    drop_expired()
    if #circuit.window >= config.probes then
      transition('closed', 'probes_succeeded')
    end
  end
  if circuit.state == 'closed' then
    permit('')
  elseif #circuit.window + #circuit.leases < config.probes then
    table.insert(circuit.leases, {lease_id, now + config.lease_ms})
    permit(lease_id)
  end
end

local function report(epoch, lease_id, outcome)
  if epoch ~= circuit.epoch then
    return
  end
  if circuit.state == 'closed' then
    circuit.window = string.sub(circuit.window .. outcome, -config.window)
    local calls = #circuit.window
    if calls < config.min_calls then
      return
    end
    if count(circuit.window, '13') / calls >= config.failure_rate then
      open('failure_rate')
    elseif count(circuit.window, '23') / calls >= config.slow_rate then
      open('slow_rate')
    end
    return
  end
  drop_expired()
  if not give_back(lease_id) then
    return
  end
  circuit.window = circuit.window .. outcome
  if count(circuit.window, '13') > 0 then
    open('probe_failed')
  elseif count(circuit.window, '23') / config.probes >= config.slow_rate then
    open('probe_slow')
  elseif #circuit.window >= config.probes then
    transition('closed', 'probes_succeeded')
  end
end

local function merge(base_epoch, ours)
  verdict = 'theirs'
  if circuit.epoch >= base_epoch then
    if ours.epoch <= base_epoch then
      return
    end
    if circuit.epoch > base_epoch and circuit.since >= ours.since then
      return
    end
  end
  verdict = 'ours'
  if circuit.epoch >= ours.epoch then
    ours.epoch = circuit.epoch + 1
  end
  circuit = ours
end

if operation == 'admit' then
  admit(ARGV[4])
elseif operation == 'report' then
  report(tonumber(ARGV[4]), ARGV[5], ARGV[6])
elseif operation == 'release' then
  if tonumber(ARGV[4]) == circuit.epoch then
    give_back(ARGV[5])
  end
elseif operation == 'merge' then
  local fields = {}
  for i = 1, #FIELDS do
    fields[i] = ARGV[4 + i]
  end
  merge(tonumber(ARGV[4]), decoded(fields))
elseif operation ~= 'read' then
  return redis.error_reply('unknown operation')
end

local fields = encoded(circuit)
if operation ~= 'read' then
  local changed = {}
  for i, name in ipairs(FIELDS) do
    if fields[i] ~= stored[i] then
      changed[#changed + 1] = name
      changed[#changed + 1] = fields[i]
    end
  end
  -- Of a circuit that is closed and well, nothing is written.
  if #changed > 0 and (stored[1] or circuit.epoch > 0 or circuit.window ~= '') then
    redis.call('HSET', KEYS[1], unpack(changed))
  end
end
return table.concat({
  verdict, permit_epoch, permit_lease, old_state, reason, string.format('%.0f', now), unpack(fields)
}, ',')
