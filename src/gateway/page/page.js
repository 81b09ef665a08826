// The page of one node: it shows what the node reports, as it comes, and asks for what the operator
// wants. Keys, values and addresses are what strangers wrote: they become text, never markup.
'use strict';

const { base, session, readable, kinds } = document.body.dataset;
const signedIn = session === 'true';
const UPDATE_MS = 250; // at most four updates a second, however much happens
const POLL_MS = 2000; // what no event reports
const KEYS_EVERY = 5; // polls
const ASK_MS = 120000;
const SHOWN_BYTES = 8192; // a longer value is a download
const EVENTS_SHOWN = 20;
const [PAGE, MAX_KEYS] = [100, 1000]; // keys shown at first, and at most
const SVG = 'http://www.w3.org/2000/svg';
const $ = id => document.getElementById(id);

// Elements and texts.

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const el = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);
const shape = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Makes the children of `parent` those of `items`. A child stays the same while its key does. */
function list(parent, items, keyOf, create, update = () => {}) {
  const known = parent.known ?? new Map();
  const next = new Map(items.map(item => [keyOf(item), item]));
  for (const [key, child] of known) if (!next.has(key)) child.remove();
  parent.known = new Map();
  let place = 0;
  for (const [key, item] of next) {
    const child = known.get(key) ?? create(item);
    update(child, item);
    parent.known.set(key, child);
    const there = parent.children[place] ?? null;
    if (there !== child) parent.insertBefore(child, there);
    place += 1;
  }
}

/** A row of a table: its first cell heads it. */
function row(cells, classes = []) {
  return el('tr', {}, ...cells.map((cell, place) => {
    const attributes = { class: classes[place], scope: place ? undefined : 'row' };
    return el(place ? 'td' : 'th', attributes, cell);
  }));
}

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The text with what an eye does not see, or what turns a text round, as an escape. */
function visible(value, lines = false) {
  return value.replace(HIDDEN, char => {
    const joins = char === '\u200c' || char === '\u200d';
    const stays = joins || (lines && (char === '\n' || char === '\t'));
    return stays ? char : `\\u{${char.codePointAt(0).toString(16)}}`;
  });
}

// Figures: those of figures.rs.

const count = number => number.toLocaleString('en-US');
const some = (number, name) => `${count(number)} ${name}${number === 1 ? '' : 's'}`;
const millis = ms => `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;

function bytes(number) {
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (number < 1000) return `${number.toFixed(unit !== 'B' && number < 100 ? 1 : 0)} ${unit}`;
    number /= 1000;
  }
  return `${number.toFixed(1)} TB`;
}

function time(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes] = [86400, 3600, 60].map(unit => Math.floor(whole / unit));
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

const reached = ago => (ago < 3600 ? `yes, ${time(ago)} ago` : `unknown since ${time(ago)}`);
const FORMATS = { text: String, count, bytes, time, reached };
const at = (node, path) => path.split('/').reduce((value, name) => value?.[name], node);

function show(format, value) {
  if (format === 'counter') return count(value ?? 0);
  const nothing = format === 'reached' ? 'unknown' : '–';
  return value === null || value === undefined ? nothing : FORMATS[format](value);
}

// Requests.

class Refused extends Error {}

async function ask(method, path, body, type) {
  const [headers, signal] = [type ? { 'content-type': type } : {}, AbortSignal.timeout(ASK_MS)];
  const response = await fetch(base + path, { method, body, headers, signal, cache: 'no-store' });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) $('sign-in').hidden = false;
  throw new Refused(problem.detail ?? `The node answered with the status ${response.status}.`);
}

const told = async (...request) => (await ask(...request)).json();
const read = path => told('GET', path);

function reason(error) {
  if (error instanceof Refused) return error.message;
  if (error instanceof URIError) return 'This key is no Unicode text.';
  return error.name === 'TimeoutError' ? 'No answer came in time.' : 'The node does not answer.';
}

/** A key as one segment of a path. */
function segment(key) {
  if (/^\.\.?$/.test(key)) throw new Refused('No browser can address this key: use kad.');
  return encodeURIComponent(key);
}

function say(message, bad = false) {
  $('status').classList.toggle('bad', bad);
  text($('status'), visible(message));
}

/** Does what was asked for, and says what became of it. */
async function act(doing, work) {
  say(`${doing} …`);
  try {
    say(await work());
    soon('node', 'values');
  } catch (error) {
    say(reason(error), true);
  }
}

function on(id, event, action) {
  $(id).addEventListener(event, happened => {
    if (event === 'submit') happened.preventDefault();
    action();
  });
}

// Am I keeping up? And traffic.

let before = null; // traffic at an earlier moment
function showNode(node) {
  for (const element of document.querySelectorAll('[data-v]')) {
    const value = at(node, element.dataset.v);
    if (element instanceof HTMLMeterElement) {
      element.max = Math.max(1, at(node, element.dataset.max) ?? 1);
      element.value = value ?? 0;
    } else {
      text(element, show(element.dataset.f, value));
    }
  }
  const { concerns } = node;
  text($('verdict'), concerns.length ? 'Not quite:' : 'Yes. Nothing is overdue.');
  $('verdict').classList.toggle('bad', concerns.length > 0);
  list($('concerns'), concerns, concern => concern, concern => el('li', {}, concern));
  let nothing = true;
  for (const line of $('turned-away').tBodies[0].rows) {
    line.hidden = at(node, line.querySelector('[data-v]').dataset.v) === undefined;
    nothing &&= line.hidden;
  }
  $('turned-away').hidden = nothing;
  $('nothing-turned-away').hidden = !nothing;
  showReplicas(Object.entries(node.pins.replicas), node.pins.pinned);
  const restarts = Object.entries(node.restarts).map(([actor, n]) => `${actor}: ${count(n)}`);
  $('no-restarts').hidden = restarts.length > 0;
  list($('restarts'), restarts, line => line, line => el('li', {}, line));
  showRates(node.traffic);
}

function showReplicas(replicas, pinned) {
  $('not-audited').hidden = replicas.length > 0 || !pinned;
  $('replicas').hidden = !replicas.length;
  list($('replicas').tBodies[0], replicas, ([found]) => found,
    ([found]) => row([found, '', bar('answering', 0, 0)], ['n', 'n', 'bar']),
    (line, [, keys]) => {
      text(line.cells[1], count(keys));
      line.querySelector('rect').setAttribute('width', 100 * keys / Math.max(1, pinned));
    });
}

/** A bar from one part of the whole (100) to another. */
function bar(kind, from, width) {
  const drawn = shape('rect', { class: kind, x: from, y: 1, width, height: 8 });
  const box = { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' };
  return shape('svg', box, drawn);
}

function showRates(traffic) {
  const now = performance.now();
  if (before && now - before.now < 1000) return;
  for (const cell of before ? document.querySelectorAll('[data-rate]') : []) {
    const [flow, earlier] = [traffic, before.traffic].map(all => all[cell.dataset.rate]);
    const messages = flow.received + flow.sent - earlier.received - earlier.sent;
    text(cell, (Math.max(0, messages) * 1000 / (now - before.now)).toFixed(1));
  }
  before = { now, traffic };
}

// The id space.

const address = peer => `${peer.ip.includes(':') ? `[${peer.ip}]` : peer.ip}:${peer.port}`;
const short = id => id.slice(0, 8);
const nameOf = peer => `${short(peer.node_id)} at ${address(peer)}`;
const stateOf = peer => (peer.failures ? 'failing' : peer.legacy ? 'legacy' : 'answering');
const STATES = { failing: 'failing', legacy: 'answers (legacy node)', answering: 'answers' };
const part = id => parseInt(id.slice(0, 8), 16) / 2 ** 32; // of the ring
let space = null; // peers, buckets and the own id
let lookup = null; // the one that is drawn: what was found, and up to when it is shown

/** The point of the ring at a part of it, 0 at the top. */
const point = (where, radius) => [Math.sin(2 * Math.PI * where), -Math.cos(2 * Math.PI * where)]
  .map(value => (radius * value).toFixed(2));

function arc(prefix) {
  const bits = prefix.replace('*', '');
  const width = 2 ** -bits.length;
  const from = bits ? parseInt(bits, 2) * width : 0;
  const gap = Math.min(0.003, width / 4);
  const [start, end] = [point(from + gap, 92), point(from + width - gap, 92)];
  return `M${start} A92 92 0 ${width > 0.5 ? 1 : 0} 1 ${end}`;
}

/** Shapes, since colours alone do not tell everyone enough. */
const MARKS = { failing: 'M-3-3L3 3M-3 3L3-3', legacy: 'M0-4L4 0L0 4L-4 0Z' };

function dot(id, radius, size, kind, title) {
  const [[x, y], d] = [point(part(id), radius), MARKS[kind]];
  const drawn = d ? { d, transform: `translate(${x} ${y})` } : { cx: x, cy: y, r: size };
  return shape(d ? 'path' : 'circle', { ...drawn, class: kind }, shape('title', {}, title));
}

function drawRing() {
  const { peers, buckets, own } = space;
  const drawn = [shape('circle', { r: 80, class: 'circle' })];
  for (const [place, { prefix, peers: inside, replacements }] of buckets.entries()) {
    const title = `${prefix}: ${some(inside.length, 'peer')}, ${replacements} wait`;
    const kind = place % 2 ? 'bucket odd' : 'bucket';
    drawn.push(shape('path', { d: arc(prefix), class: kind }, shape('title', {}, title)));
  }
  if (lookup) {
    const { found, until } = lookup;
    const { target, asked } = found.trace;
    const sent = asked.filter(query => query.asked_us <= until);
    for (const query of sent) {
      const namer = query.named_by === null ? own : asked[query.named_by].peer.node_id;
      const [x1, y1] = point(part(namer), 80);
      const [x2, y2] = point(part(query.peer.node_id), 80);
      const kind = ended(query, until) ? outcome(query).kind : 'pending';
      drawn.push(shape('line', { x1, y1, x2, y2, class: `way ${kind}` }));
    }
    drawn.push(...sent.map(({ peer: { node_id: id } }) => dot(id, 80, 5, 'asked', short(id))));
    drawn.push(dot(target, 103, 4, 'target', `target: ${short(target)}`));
  }
  for (const peer of peers) {
    const state = stateOf(peer);
    drawn.push(dot(peer.node_id, 80, 3, state, `${nameOf(peer)}: ${STATES[state]}`));
  }
  drawn.push(dot(own, 80, 5, 'own', 'this node'));
  $('ring').replaceChildren(...drawn);
  const failing = peers.filter(peer => peer.failures).length;
  const all = `${some(peers.length, 'peer')} in ${some(buckets.length, 'bucket')}`;
  $('ring').setAttribute('aria-label', `The ring of ids: ${all}, ${failing} failing.`);
}

function showSpace([{ peers }, { own, buckets }]) {
  space = { peers, own, buckets };
  drawRing();
  const inside = new Map(buckets.map(bucket => [bucket.prefix, []]));
  for (const peer of peers) inside.get(peer.bucket)?.push(peer);
  list($('buckets'), buckets, bucket => bucket.prefix, newBucket, (element, bucket) => {
    const { prefix, replacements, lookup_age_ms: age } = bucket;
    const here = inside.get(prefix);
    const waiting = replacements ? `, ${replacements} wait for a place` : '';
    const about = `${some(here.length, 'peer')}${waiting}, last lookup ${time(age / 1000)} ago`;
    text(element.querySelector('.about'), about);
    list(element.querySelector('tbody'), here, peer => `${peer.node_id} ${address(peer)}`,
      peer => row([short(peer.node_id), address(peer), '', '', ''], ['id', '', 'n', 'n']),
      showPeer);
  });
}

function newBucket({ prefix, peers }) {
  const bucket = $('bucket').content.firstElementChild.cloneNode(true);
  text(bucket.querySelector('code'), prefix);
  bucket.querySelector('.scroll').setAttribute('aria-label', `Peers of ${prefix}`);
  bucket.open = peers.length <= 20 && $('buckets').children.length < 3;
  return bucket;
}

function showPeer(line, peer) {
  const { answered_ago: ago, round_trip: trip, failures } = peer;
  const state = STATES[stateOf(peer)];
  text(line.cells[2], `${time(ago)} ago`);
  text(line.cells[3], trip === null ? '–' : millis(trip * 1000));
  text(line.cells[4], failures ? `${state}: ${failures} unanswered` : state);
  line.className = stateOf(peer);
}

// A lookup, drawn again as it went.

const ended = (query, until) => query.ended_us !== null && query.ended_us <= until;

function outcome({ came_back: back }) {
  const { named, taken } = back.peers ?? {};
  if (back.peers) {
    return { kind: 'answering', says: `names ${some(named, 'peer')}, ${taken} new` };
  }
  if (back.wrong_id) return { kind: 'failing', says: `is ${short(back.wrong_id.actual)} now` };
  const good = back === 'value' || back === 'unsupported';
  return { kind: good ? 'answering' : back === 'pending' ? 'pending' : 'failing', says: back };
}

function drawLookup() {
  const { found, until } = lookup;
  const whole = Math.max(1, found.trace.lasted_us);
  const sent = found.trace.asked.filter(query => query.asked_us <= until);
  list($('lookup').tBodies[0], sent, query => query, newQuery, (line, query) => {
    const over = ended(query, until);
    const end = over ? query.ended_us : Math.min(until, query.ended_us ?? whole);
    const { kind, says } = over ? outcome(query) : { kind: 'pending', says: 'is awaited' };
    const drawn = line.querySelector('rect');
    drawn.setAttribute('class', kind);
    drawn.setAttribute('width', Math.max(0.7, 100 * (end - query.asked_us) / whole));
    text(line.cells[4], over ? millis((query.ended_us - query.asked_us) / 1000) : '');
    text(line.cells[5], `${says}${over && query.slow ? ' (slow)' : ''}`);
    line.className = kind;
  });
  if (space) drawRing();
  function newQuery({ hop, peer, bits, asked_us: asked }) {
    const drawn = bar('pending', 100 * asked / whole, 0);
    const cells = [`${hop}`, nameOf(peer), `${160 - bits}`, drawn, '', ''];
    return row(cells, ['n', '', 'n', 'bar', 'n', '']);
  }
}

function replay(found) {
  const { lasted_us: lasted } = found.trace;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const takes = Math.min(4000, Math.max(1500, lasted / 1000));
  const begun = performance.now();
  const mine = { found, until: 0 };
  lookup = mine;
  function step() {
    const gone = still ? 1 : Math.min(1, (performance.now() - begun) / takes);
    mine.until = gone * lasted;
    if (lookup !== mine) return;
    drawLookup();
    if (gone < 1) setTimeout(step, 50);
  }
  step();
}

async function lookUp() {
  const found = await read(`v1/lookup/${segment($('lookup-target').value)}?trace=1`);
  const { asked, lasted_us: lasted, ending } = found.trace;
  const answered = asked.filter(query => outcome(query).kind === 'answering').length;
  const hops = some(Math.max(0, ...asked.map(query => query.hop)), 'hop');
  $('lookup-scroll').hidden = false;
  list($('lookup').tBodies[0], []);
  replay(found);
  const end = `${ending ?? 'not ended'}`.replaceAll('_', ' ');
  const heard = `${answered} of ${asked.length} peers answered within ${millis(lasted / 1000)}`;
  const nearest = `Nearest to ${short(found.target)}: ${some(found.nodes.length, 'node')}`;
  text($('lookup-result'), `${nearest}. ${heard}, over ${hops}. End: ${end}.`);
  return `${nearest}.`;
}

// Values.

let exact = null; // the key that was chosen, where the field shows escapes of it
let [keysShown, download] = [PAGE, ''];

const keyWanted = () => exact ?? $('key').value;
const path = (kind, key = keyWanted()) => `v1/${kind}/${segment(key)}`;

function choose(key) {
  exact = key;
  $('key').value = visible(key);
  act('Reading', find);
}

async function find() {
  const key = keyWanted();
  const response = await ask('GET', path('values', key));
  const content = new Uint8Array(await response.arrayBuffer());
  const isText = (response.headers.get('content-type') ?? '').startsWith('text/plain');
  const [holder, life] = ['kad-holder', 'kad-expires-in'].map(name => response.headers.get(name));
  const lasts = life === null ? '' : `, which lives another ${time(Number(life))}`;
  const kind = `${isText ? 'text' : 'binary'}, from the copy of`;
  const origin = holder === 'self' ? 'this node' : holder ?? 'the network';
  text($('found-key'), visible(key));
  text($('found-facts'), `${bytes(content.length)}, ${kind} ${origin}${lasts}.`);
  const shown = isText && content.length <= SHOWN_BYTES;
  $('found-text').hidden = !shown;
  text($('found-text'), shown ? visible(new TextDecoder().decode(content), true) : '');
  URL.revokeObjectURL(download);
  download = URL.createObjectURL(new Blob([content], { type: 'application/octet-stream' }));
  $('download').href = download;
  const name = key.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 40) || 'value';
  $('download').download = `${name}.${isText ? 'txt' : 'bin'}`;
  text($('download'), `Download the ${bytes(content.length)}`);
  $('found').hidden = false;
  return shown ? 'Found.' : 'Found. It is offered as a download.';
}

async function set() {
  const [file] = $('file').files;
  const type = file ? 'application/octet-stream' : 'text/plain; charset=utf-8';
  const became = await told('PUT', path('values'), file ?? $('value').value, type);
  const { asked, stored, refused, silent, expires_in: life, superseded } = became;
  const lasts = life === null ? '' : `, for ${time(life)} unless it is published again`;
  const later = superseded ? ' A later value of this key overtook it.' : '';
  return `Set: ${stored} of ${asked} peers store it${lasts}; ${refused} refused, ` +
    `${silent} silent.${later}`;
}

async function release() {
  const { released } = await told('DELETE', path('values'));
  return released ? 'Released: it is not published again, and its copies end in time.'
    : 'This node does not publish it: nothing to release.';
}

async function pin() {
  const replicas = Number($('min-replicas').value);
  await ask('PUT', `${path('pins')}?min_replicas=${replicas}`);
  return `Pinned: it is published again before fewer than ${replicas} nodes hold it.`;
}

async function unpin() {
  const { unpinned } = await told('DELETE', path('pins'));
  return unpinned ? 'Unpinned. It stays published.' : 'It was not pinned.';
}

const ANSWERS = [['confirmed', 'holds it', 'answering'], ['expiring', 'is to lose it', 'failing'],
  ['missing', 'does not hold it', 'failing'], ['silent', 'is silent', 'failing'],
  ['unasked', 'was not asked', 'pending']];

async function check() {
  const key = keyWanted();
  const { nearest, beyond, here } = await read(`${path('values', key)}/health`);
  const lines = [];
  for (const [of, where] of [[nearest, ''], [beyond, ', beyond the nearest']]) {
    for (const [answer, says, kind] of ANSWERS) {
      for (const found of of[answer]) {
        const life = typeof found.expires_in === 'number' ? time(found.expires_in) : '–';
        const line = row([nameOf(found.peer ?? found), `${says}${where}`, life], ['', '', 'n']);
        line.className = kind;
        lines.push(line);
      }
    }
  }
  $('holders').querySelector('tbody').replaceChildren(...lines);
  text($('holders-key'), visible(key));
  const total = Object.values(nearest).reduce((sum, peers) => sum + peers.length, 0);
  const pinned = here?.pinned ? ' and pinned' : '';
  const own = here ? `has it as ${here.class}${pinned}` : 'does not hold it';
  const found = `${nearest.confirmed.length} of the ${total} nearest nodes hold it.`;
  text($('holders-facts'), `${found} This node ${own}.`);
  $('holders').hidden = false;
  return found;
}

function listKeys(most) {
  keysShown = most;
  soon('values');
}

async function showKeys() {
  const query = new URLSearchParams({ prefix: $('prefix').value, limit: keysShown });
  const { values, next } = await read(`v1/values?${query}`);
  list($('keys').querySelector('tbody'), values, held => held.key, newKey, (line, held) => {
    text(line.cells[1], held.pinned ? `${held.class}, pinned` : held.class);
    text(line.cells[2], bytes(held.bytes));
    text(line.cells[3], held.expires_in ? time(held.expires_in) : 'waits its turn');
  });
  $('no-keys').hidden = values.length > 0;
  $('more').hidden = next === null || keysShown >= MAX_KEYS;
}

function newKey({ key }) {
  const button = el('button', { type: 'button', class: 'key' }, key ? visible(key) : '(empty)');
  button.addEventListener('click', () => choose(key));
  return row([button, '', '', ''], ['', '', 'n', 'n']);
}

// What happens, as it does.

let [events, eventsSeen] = [[], 0];
const dirty = new Set(); // parts of the page that are to be read again
let [last, timer, busy, polls] = [-UPDATE_MS, 0, false, 0];
let stream = null;

function soon(...parts) {
  for (const one of parts) dirty.add(one);
  if (timer || busy || document.hidden || !dirty.size) return;
  timer = setTimeout(update, Math.max(0, last + UPDATE_MS - performance.now()));
}

async function update() {
  const parts = new Set(dirty);
  [timer, busy, last] = [0, true, performance.now()];
  dirty.clear();
  try {
    if (parts.has('node')) showNode(await read('v1/node'));
    if (parts.has('peers')) showSpace(await Promise.all([read('v1/peers'), read('v1/buckets')]));
    if (parts.has('values') && signedIn) await showKeys();
    showLive();
  } catch (error) {
    showLive(reason(error));
  }
  showEvents();
  busy = false;
  soon();
}

function showLive(trouble) {
  const live = stream?.readyState === EventSource.OPEN;
  text($('live'), trouble ?? (live ? 'live' : `every ${POLL_MS / 1000} s`));
  $('live').className = trouble ? 'bad' : live ? 'good' : '';
}

function happened({ type, data }) {
  const { event, ...facts } = JSON.parse(data);
  eventsSeen += 1;
  const clock = new Date().toLocaleTimeString('en-GB');
  events = [{ number: eventsSeen, clock, type, facts }, ...events].slice(0, EVENTS_SHOWN);
  const about = /^(peer|joined|network)/.test(type) ? 'peers' : 'values';
  soon('node', ...(/^(lookup|restarted)/.test(type) ? [] : [about]));
}

function showEvents() {
  list($('events'), events, event => event.number, ({ clock, type, facts }) => {
    const details = Object.entries(facts).map(([name, value]) => {
      const shown = typeof value === 'string' ? value : JSON.stringify(value);
      return `${name.replaceAll('_', ' ')} ${visible(shown.slice(0, 80))}`;
    });
    const kind = el('b', {}, type.replaceAll('_', ' '));
    return el('li', {}, el('time', {}, clock), ' ', kind, ' ', details.join(', '));
  });
  $('no-events').hidden = events.length > 0;
}

function follow() {
  stream = new EventSource(`${base}v1/events`);
  for (const kind of [...kinds.split(' '), 'missed']) stream.addEventListener(kind, happened);
  stream.addEventListener('open', () => soon('node', 'peers', 'values'));
  stream.addEventListener('error', () => {
    showLive();
    // It tries again by itself, unless it was refused.
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 5 * POLL_MS);
  });
}

async function signIn() {
  const headers = { authorization: `Bearer ${$('token').value.trim()}` };
  const response = await fetch(`${base}v1/codes`, { method: 'POST', headers });
  if (!response.ok) throw new Refused('This is not the token of the node.');
  const { code } = await response.json();
  location.assign(`${location.pathname}?code=${encodeURIComponent(code)}`);
  return 'Signed in.';
}

on('sign-in-form', 'submit', () => act('Signing in', signIn));
on('lookup-form', 'submit', () => act('Looking up', lookUp));
on('value-form', 'submit', () => act('Reading', find));
on('set', 'click', () => act('Setting', set));
on('release', 'click', () => act('Releasing', release));
on('pin', 'click', () => act('Pinning', pin));
on('unpin', 'click', () => act('Unpinning', unpin));
on('check', 'click', () => act('Asking', check));
on('prefix-form', 'submit', () => listKeys(PAGE));
on('more', 'click', () => listKeys(Math.min(MAX_KEYS, keysShown + PAGE)));
on('key', 'input', () => { exact = null; });

if (readable === 'true') {
  if (signedIn) follow();
  soon('node', 'peers', 'values');
  document.addEventListener('visibilitychange', () => soon('node', 'peers'));
  setInterval(() => {
    polls += 1;
    soon('node', 'peers', ...(polls % KEYS_EVERY ? [] : ['values']));
  }, POLL_MS);
}
