// A rollout loop for the Llama family on a CPU, in fp32.
//
// Rows are submitted and finished rows collected at any time, while the engine's own threads decode. A thread takes its
// share of the rows that can go on, runs the whole stack of layers on one token of each (or on a stretch of a context
// that has to be read), and puts them back; nobody waits for anybody.
//
// A row's tokens and log-probs are the same to the bit whoever shares its pass: a product sums over k from first to
// last for each number of the output whatever the number of rows, and all else is done for each row alone. So keys and
// values that were computed once are as good as new. They lie in blocks of 16 tokens, in a tree by content.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <unordered_map>
#include <vector>

// ------------------------------------------------------------------------------------------------------------ vectors

#if defined(__AVX512F__)
constexpr int W = 16, TILE = 12;  // floats in a register; rows of a tile, as many as the registers hold
#elif defined(__AVX__)
constexpr int W = 8, TILE = 6;
#else
constexpr int W = 4, TILE = 6;
#endif
constexpr int PANEL = 2 * W;  // columns of a tile
constexpr int BLOCK = 16;     // tokens of a block of keys and values
constexpr int PASS = 64;      // tokens of a pass: its activations should stay in the second-level cache
constexpr int FEW = 4;        // rows that cost a thread no more than one does: the weights' way from memory takes longer
constexpr size_t LOGITS = 1 << 22;  // floats of logits that a thread holds at once

typedef float V __attribute__((vector_size(4 * W)));
typedef int32_t I __attribute__((vector_size(4 * W)));
typedef float Loose __attribute__((vector_size(4 * W), aligned(4), may_alias));

static inline V load(const float* at) { return *(const Loose*)at; }
static inline void store(float* at, V v) { *(Loose*)at = v; }
static inline V all(float x) { return x - V{}; }
static inline V least(V a, V b) { return a < b ? a : b; }
static inline V most(V a, V b) { return a > b ? a : b; }
static inline int padded(int n, int to) { return (n + to - 1) / to * to; }

static inline float sum(V v) {
  float total = 0;
  for (int i = 0; i < W; i++) total += v[i];
  return total;
}

// e^x = 2^n e^r, n whole and |r| <= ln(2) / 2, e^r by its Taylor polynomial; within 2e-7 of the value, 0 below -87.
static inline V exponential(V x) {
  const V low = all(-87.0f), round = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  V inside = least(most(x, low), all(88.0f));
  V n = (inside * 1.44269504f + round) - round;
  V r = inside - n * 0.693359375f + n * 2.12194440e-4f;  // ln(2) in two parts, the first without rounding
  V p = all(1.0f / 5040);
  for (float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) p = p * r + c;
  I power = (__builtin_convertvector(n, I) + 127) << 23;
  V out = p * (V)power;
  return x > low ? out : V{};
}

static inline V silu(V x) { return x / (1.0f + exponential(-x)); }

struct Free {
  void operator()(float* at) const { free(at); }
};
using Floats = std::unique_ptr<float[], Free>;

static Floats floats(size_t count) {
  size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
  void* at = aligned_alloc(64, bytes ? bytes : 64);
  if (!at) throw std::bad_alloc();
  memset(at, 0, bytes);
  return Floats((float*)at);
}

// ----------------------------------------------------------------------------------------------------------- products

// y = x M + bias. M [in, out] lies in panels of PANEL columns, [in, PANEL] each, zeros at the edge.
struct Matrix {
  int in = 0, panels = 0;
  Floats weights, bias;

  // columns[j]: the weights of output j, or null for an output that is always 0.
  void pack(const std::vector<const float*>& columns, const std::vector<float>& biases, int depth) {
    int count = padded((int)columns.size(), PANEL) / PANEL;
    if (depth != in || count != panels) weights = floats((size_t)count * depth * PANEL), bias = floats(count * PANEL);
    in = depth, panels = count;
    for (size_t j = 0; j < columns.size(); j++) {
      float* to = weights.get() + j / PANEL * (size_t)in * PANEL + j % PANEL;
      bias[j] = biases[j];
      for (int k = 0; columns[j] && k < in; k++) to[(size_t)k * PANEL] = columns[j][k];
    }
  }
};

enum Into { WRITE, ADD, GATE };  // GATE: a panel is W columns of the gate and W of what it lets through

template <int M, Into into>
static inline void tile(const float* x, size_t x_step, const float* panel, int in, const float* bias, float* y,
                        size_t y_step) {
  V sums[M][2];
  for (int i = 0; i < M; i++) sums[i][0] = load(bias), sums[i][1] = load(bias + W);
  for (int k = 0; k < in; k++, panel += PANEL) {
    V left = load(panel), right = load(panel + W);
    for (int i = 0; i < M; i++) {
      V number = all(x[i * x_step + k]);
      sums[i][0] += number * left;
      sums[i][1] += number * right;
    }
  }
  for (int i = 0; i < M; i++, y += y_step) {
    if (into == GATE) {
      store(y, silu(sums[i][0]) * sums[i][1]);
    } else {
      store(y, into == ADD ? load(y) + sums[i][0] : sums[i][0]);
      store(y + W, into == ADD ? load(y + W) + sums[i][1] : sums[i][1]);
    }
  }
}

template <int M, Into into, class... Rest>
static inline void edge(int rows, Rest... rest) {  // the tile of `rows` < TILE rows
  if (rows == M) return tile<M, into>(rest...);
  if constexpr (M > 1) edge<M - 1, into>(rows, rest...);
}

template <Into into>
static void multiply(const Matrix& m, const float* x, size_t x_step, float* y, size_t y_step, int rows) {
  for (int p = 0; p < m.panels; p++, y += into == GATE ? W : PANEL) {
    const float *panel = m.weights.get() + (size_t)p * m.in * PANEL, *bias = m.bias.get() + p * PANEL;
    int i = 0;
    for (; i + TILE <= rows; i += TILE) tile<TILE, into>(x + i * x_step, x_step, panel, m.in, bias, y + i * y_step, y_step);
    edge<TILE - 1, into>(rows - i, x + i * x_step, x_step, panel, m.in, bias, y + i * y_step, y_step);
  }
}

// y = weights * x / sqrt(mean(x^2) + eps); what pads x is 0.
static void normalize(const float* x, const float* weights, float* y, int width, float eps) {
  V squares = {};
  for (int i = 0; i < width; i += W) squares += load(x + i) * load(x + i);
  float scale = 1.0f / sqrtf(sum(squares) / width + eps);
  for (int i = 0; i < width; i += W) store(y + i, load(weights + i) * (load(x + i) * scale));
}

// --------------------------------------------------------------------------------------------------------------- past

struct Key {  // the tokens of a block
  int count = 0;
  int32_t tokens[BLOCK];

  Key(const int32_t* from, int count) : count(count) { std::copy(from, from + count, tokens); }
  bool operator<(const Key& other) const {
    return std::lexicographical_compare(tokens, tokens + count, other.tokens, other.tokens + other.count);
  }
  int shared(const Key& other) const {
    int n = 0;
    while (n < count && n < other.count && tokens[n] == other.tokens[n]) n++;
    return n;
  }
};

struct Node {  // a block of keys and values behind those of its parent
  Node* parent = nullptr;
  Key key{nullptr, 0};
  int filled = 0;  // tokens whose keys and values are there
  int held = 0;    // by rows
  bool known = false;  // it is in the tree, and does not change any more once it is filled
  float* kv = nullptr;
  std::map<Key, Node*> children;
  std::list<Node*>::iterator place;  // among those that may go, if nobody holds it and nothing is behind it

  bool ready() const { return filled == key.count; }
  bool loose() const { return !held && children.empty(); }

  // The child that begins with the most tokens of `wanted`, and how many those are.
  std::pair<Node*, int> closest(const Key& wanted) const {
    std::pair<Node*, int> best{nullptr, 0};
    auto after = children.lower_bound(wanted);  // in this order the closest is a neighbour
    for (auto at : {after, after == children.begin() ? children.end() : std::prev(after)}) {
      if (at == children.end()) continue;
      int n = at->first.shared(wanted);
      if (n > best.second) best = {at->second, n};
    }
    return best;
  }
};

// All blocks. What nobody holds stays for those who come with the same tokens, until memory is short.
struct Past {
  Node root;
  size_t size;      // floats of a block
  size_t budget;    // blocks: beyond it, the one that was left longest ago goes for each that is made
  size_t made = 0;
  std::vector<float*> spare;
  std::list<Node*> left;  // nobody holds them; the longest ago first

  Past(size_t size, size_t budget) : size(size), budget(budget) { root.held = 1; }
  ~Past() {
    forget();
    for (float* kv : spare) free(kv);
  }

  Node* fresh(Node* parent) {
    if (spare.empty() && made >= budget && !left.empty()) evict(left.front());
    if (spare.empty()) {
      spare.reserve(made + 1);
      spare.push_back(floats(size).release()), made++;
    }
    Node* node = new Node;
    node->parent = parent, node->held = 1;
    node->kv = spare.back(), spare.pop_back();
    return node;
  }

  void hold(Node* node) {
    if (node->known && node->loose()) left.erase(node->place);
    node->held++;
  }

  void drop(Node* node) {
    if (--node->held) return;
    if (!node->known) return discard(node);
    if (node->loose()) node->place = left.insert(left.end(), node);
  }

  // Put a row's own block into the tree; the block that is to be used from here on, which is another where the same
  // tokens are there already.
  Node* enter(Node* node, const Key& key) {
    auto [other, n] = node->parent->closest(key);
    if (other && n == key.count) {
      hold(other), drop(node);
      return other;
    }
    node->key = key, node->known = true;
    node->parent->children.emplace(key, node);  // the parent is held by the row
    return node;
  }

  void evict(Node* node) {
    Node* parent = node->parent;
    left.erase(node->place);
    parent->children.erase(node->key);
    discard(node);
    if (parent->loose()) parent->place = left.insert(left.begin(), parent);
  }

  void discard(Node* node) {
    spare.push_back(node->kv);
    delete node;
  }

  void forget() {  // only while no row is there
    while (!left.empty()) evict(left.front());
  }
};

// --------------------------------------------------------------------------------------------------------------- rows

extern "C" struct Shape {
  int32_t width, layers, heads, kv_heads, head, inter, vocab, context, threads, rows;
  float eps;
  int64_t bytes;  // of keys and values that are kept, if rows in flight do not need more
};

extern "C" struct Way {  // how tokens are chosen, and where a row ends
  float temperature;
  int32_t top_k;
  double top_p, min_p;
  const int64_t *eos, *stops;
  int32_t eos_count, stop_count;
  const uint8_t* asks;  // [V]: whether a stop string may end with this token; null where there are none
  int32_t window;       // tokens that whoever is asked wants to see
};

extern "C" struct Asked {
  int64_t id, way, length, room;
  uint64_t seed, seed_high;
};

enum How { GOING, EOS, STOP, LENGTH, ASKS, DIVERGED, NO_MEMORY };

extern "C" struct Told {
  int64_t id, how, count;
};

struct Row {
  int64_t id;
  Way way;
  int room, context;
  uint64_t seed[2];
  std::vector<int32_t> tokens;  // the context, then what was sampled
  std::vector<float> logprobs, log_kept;
  std::vector<Node*> chain;   // block i holds tokens 16 i to 16 i + 15
  int read = 0;               // tokens of the context that were read; all but the last are, before the row decodes
  bool inside = false, begun = false;     // it has a place among the `rows`; it decodes
  bool out = false, cancelled = false;    // it asked, and waits for the answer; nobody waits for it
  Node* waits = nullptr;      // somebody else reads this block, or
  Node* source = nullptr;     // the context's last, broken block, which this row gets a copy of
  How how = GOING;

  int sampled() const { return (int)tokens.size() - context; }
  bool reads() const { return read < context - 1; }
};

// The k-th number in [0, 1) of a row's stream: numpy's Philox (4x64, 10 rounds) with the seed as its key.
static double uniform(const uint64_t seed[2], int k) {
  uint64_t x[4] = {(uint64_t)k / 4 + 1, 0, 0, 0}, key[2] = {seed[0], seed[1]};
  for (int round = 0; round < 10; round++) {
    unsigned __int128 a = (unsigned __int128)0xD2E7470EE14C6C93u * x[0], b = (unsigned __int128)0xCA5A826395121157u * x[2];
    uint64_t next[4] = {(uint64_t)(b >> 64) ^ x[1] ^ key[0], (uint64_t)b, (uint64_t)(a >> 64) ^ x[3] ^ key[1], (uint64_t)a};
    memcpy(x, next, sizeof x);
    key[0] += 0x9E3779B97F4A7C15u, key[1] += 0xBB67AE8584CAA73Bu;
  }
  return (x[k % 4] >> 11) * (1.0 / 9007199254740992.0);
}

// ----------------------------------------------------------------------------------------------------------- sampling

// Of candidates (id, mass): the first whose cumulative mass is above a share of the total.
template <class Mass>
static int inverse(int count, double share, Mass mass) {
  double total = 0, sums = 0;
  int last = 0;
  for (int i = 0; i < count; i++) total += mass(i);
  for (int i = 0; i < count; i++) {
    double m = mass(i);
    sums += m;
    if (m > 0) last = i;
    if (sums > share * total) return i;
  }
  return last;  // rounding lifted the share up to the total
}

// The ids that top-k, then top-p, then min-p leave, in ascending order. The greatest come off a heap one by one, so
// the whole vocabulary is never sorted; the lower id is first among equals.
static void keep(const Way& way, const float* scaled, int vocab, float top, double total, std::vector<int>& kept) {
  std::vector<int> heap(vocab);
  for (int i = 0; i < vocab; i++) heap[i] = i;
  auto lower = [&](int a, int b) { return scaled[a] < scaled[b] || (scaled[a] == scaled[b] && a > b); };
  std::make_heap(heap.begin(), heap.end(), lower);
  auto mass = [&](int i) { return std::exp((double)scaled[i] - top); };
  size_t limit = way.top_k ? std::min(way.top_k, vocab) : vocab;
  double before = 0, whole = total;
  kept.clear();
  auto next = [&] {
    std::pop_heap(heap.begin(), heap.end(), lower);
    kept.push_back(heap.back());
    heap.pop_back();
  };
  if (way.top_k) {
    whole = 0;
    while (kept.size() < limit) next(), whole += mass(kept.back());
  }
  for (size_t i = 0; i < limit; i++) {
    if (i == kept.size()) next();
    double m = mass(kept[i]);
    bool stays = scaled[kept[i]] > -INFINITY && (way.top_p >= 1 || before / whole < way.top_p) && m >= way.min_p;
    if (i && !stays) {
      kept.resize(i);
      break;
    }
    before += m;
  }
  std::sort(kept.begin(), kept.end());
}

// The row's next token from its logits, which are changed. See `whet.engines.sampling.choose` for what is meant.
static How choose(Row& row, float* logits, float* masses, int vocab, std::vector<int>& kept) {
  const Way& way = row.way;
  const bool greedy = way.temperature == 0, cut = way.top_k || way.top_p < 1 || way.min_p > 0;
  float top = -INFINITY;
  bool numbers = true;
  int best = 0;
  for (int i = vocab; i < padded(vocab, W); i++) logits[i] = -INFINITY;
  for (int i = 0; i < padded(vocab, W); i += W) {
    V scaled = greedy ? load(logits + i) : load(logits + i) / way.temperature;
    store(logits + i, scaled);
  }
  for (int i = 0; i < vocab; i++) {
    numbers &= logits[i] < INFINITY;  // not a number is not below either
    if (logits[i] > top) top = logits[i], best = i;
  }
  if (!numbers || top == -INFINITY) return DIVERGED;
  double total = 0;
  for (int i = 0; i < padded(vocab, W); i += W) store(masses + i, exponential(load(logits + i) - top));
  for (int i = 0; i < vocab; i++) total += masses[i];
  int token = best;
  double log_kept = 0;
  if (cut) {
    keep(way, logits, vocab, top, total, kept);
    auto mass = [&](int i) { return std::exp((double)logits[kept[i]] - top); };
    double held = 0;
    for (size_t i = 0; i < kept.size(); i++) held += mass(i);
    log_kept = std::min(0.0, std::log(held / total));
    if (!greedy) token = kept[inverse((int)kept.size(), uniform(row.seed, row.sampled()), mass)];
  } else if (!greedy) {
    token = inverse(vocab, uniform(row.seed, row.sampled()), [&](int i) { return (double)masses[i]; });
  }
  row.tokens.push_back(token);
  row.logprobs.push_back((float)((double)logits[token] - top - std::log(total)));
  row.log_kept.push_back((float)log_kept);
  if (std::find(way.eos, way.eos + way.eos_count, token) != way.eos + way.eos_count) return EOS;
  if (std::find(way.stops, way.stops + way.stop_count, token) != way.stops + way.stop_count) return STOP;
  if (way.asks && way.asks[token]) return ASKS;
  return row.sampled() >= row.room ? LENGTH : GOING;
}

// -------------------------------------------------------------------------------------------------------------- model

struct Layer {
  Floats before, after;         // weights of the norms before attention and before the feed-forward layer
  Floats q_norm, k_norm;        // of each head, in Qwen3
  Matrix qkv, out, gate, down;  // the gate and what it lets through are one product
};

struct Token {  // one token of a pass
  Row* row;
  int position;
  bool last;  // the next one is chosen behind it
};

struct Desk {  // what a thread writes on
  Floats x, normed, qkv, attended, inner, logits, masses;
  std::vector<float> scores;
  std::vector<int> kept;
};

struct Model {
  Shape s;
  int width, group, q_width, qkv_width, inner_width, vocab_width, head_width, chunk;
  size_t head_size;           // floats of a block for one layer and one head of keys
  std::vector<Layer> layers;
  const float* embedding = nullptr;  // the caller's
  Floats last_norm, cosines, sines;  // [context, head / 2]
  Matrix unembed;

  Model(const Shape& s, const float* cos, const float* sin) : s(s), layers(s.layers) {
    width = padded(s.width, PANEL), inner_width = padded(s.inter, W), vocab_width = padded(s.vocab, PANEL);
    q_width = s.heads * s.head, qkv_width = padded(q_width + 2 * s.kv_heads * s.head, PANEL);
    group = s.heads / s.kv_heads, head_width = padded(s.head, W);
    head_size = (size_t)BLOCK * (s.head + head_width);
    chunk = std::clamp<int>(LOGITS / vocab_width / TILE * TILE, TILE, PASS);
    size_t count = (size_t)s.context * (s.head / 2);
    cosines = floats(count), sines = floats(count);
    std::copy(cos, cos + count, cosines.get()), std::copy(sin, sin + count, sines.get());
  }

  size_t block_size() const { return head_size * s.kv_heads * s.layers; }

  Desk desk() const {
    Desk d;
    d.x = floats(PASS * width), d.normed = floats(PASS * width), d.qkv = floats(PASS * qkv_width);
    d.attended = floats(PASS * q_width + head_width), d.inner = floats(PASS * inner_width);
    d.logits = floats((size_t)chunk * vocab_width), d.masses = floats(vocab_width);
    return d;
  }

  static Floats padded_copy(const float* from, int count) {
    if (!from) return nullptr;
    Floats to = floats(padded(count, PANEL));
    std::copy(from, from + count, to.get());
    return to;
  }

  // The order of `weights` is that of `fast._pointers`.
  void take(const float* const* weights) {
    auto next = [&] { return *weights++; };
    embedding = next(), last_norm = padded_copy(next(), s.width);
    struct Part {
      std::vector<const float*> columns;
      std::vector<float> biases;
      void add(const float* w, const float* b, int from, int to, int depth) {
        for (int j = from; j < to; j++) columns.push_back(w ? w + (size_t)j * depth : nullptr), biases.push_back(b ? b[j] : 0);
      }
    };
    auto linear = [&](Matrix& m, std::vector<int> outs, int depth) {
      Part part;
      for (int out : outs) {
        const float *w = next(), *b = next();
        part.add(w, b, 0, out, depth);
      }
      m.pack(part.columns, part.biases, depth);
    };
    linear(unembed, {s.vocab}, s.width);
    for (Layer& layer : layers) {
      layer.before = padded_copy(next(), s.width), layer.after = padded_copy(next(), s.width);
      layer.q_norm = padded_copy(next(), s.head), layer.k_norm = padded_copy(next(), s.head);
      linear(layer.qkv, {q_width, s.kv_heads * s.head, s.kv_heads * s.head}, s.width);
      linear(layer.out, {s.width}, q_width);
      const float *gate = next(), *gate_bias = next(), *up = next(), *up_bias = next();
      Part part;
      for (int j = 0; j < inner_width; j += W) {
        int end = std::min(j + W, s.inter);
        part.add(gate, gate_bias, j, end, s.width), part.add(nullptr, nullptr, end, j + W, 0);
        part.add(up, up_bias, j, end, s.width), part.add(nullptr, nullptr, end, j + W, 0);
      }
      layer.gate.pack(part.columns, part.biases, s.width);
      linear(layer.down, {s.width}, s.inter);
    }
  }

  // One head's q or k, in place: its norm, where there is one, then the turn by the position's angles.
  void turn(float* x, const float* weights, int position, float scale) const {
    const int half = s.head / 2;
    const float *cos = &cosines[(size_t)position * half], *sin = &sines[(size_t)position * half];
    if (weights) {
      float squares = 0;
      for (int d = 0; d < s.head; d++) squares += x[d] * x[d];
      float by = 1.0f / sqrtf(squares / s.head + s.eps);
      for (int d = 0; d < s.head; d++) x[d] = weights[d] * (x[d] * by);
    }
    for (int d = 0; d < half; d++) {
      float a = x[d] * scale, b = x[d + half] * scale;
      x[d] = a * cos[d] - b * sin[d];
      x[d + half] = b * cos[d] + a * sin[d];
    }
  }

  // A token's q turned, its keys and values put into their block: keys [head, 16], values [16, head].
  void place(const Token& token, const Layer& layer, int number, float* qkv) const {
    const float scale = 1.0f / sqrtf((float)s.head);
    for (int h = 0; h < s.heads; h++) turn(qkv + h * s.head, layer.q_norm.get(), token.position, scale);
    float *k = qkv + q_width, *v = k + s.kv_heads * s.head;
    float* kv = token.row->chain[token.position / BLOCK]->kv + (size_t)number * s.kv_heads * head_size;
    const int slot = token.position % BLOCK;
    for (int h = 0; h < s.kv_heads; h++, k += s.head, v += s.head, kv += head_size) {
      turn(k, layer.k_norm.get(), token.position, 1.0f);
      for (int d = 0; d < s.head; d++) kv[d * BLOCK + slot] = k[d];
      std::copy(v, v + s.head, kv + BLOCK * s.head + slot * head_width);
    }
  }

  // R heads of one token that look at the same keys.
  template <int R>
  void attend(const Token& token, size_t offset, const float* q, float* out, std::vector<float>& room) const {
    const int count = token.position + 1, blocks = (count + BLOCK - 1) / BLOCK, step = blocks * BLOCK;
    Node* const* chain = token.row->chain.data();
    if (room.size() < (size_t)R * step) room.resize((size_t)R * step * 2);
    float* scores = room.data();
    for (int b = 0; b < blocks; b++) {
      const float* keys = chain[b]->kv + offset;
      V sums[R][BLOCK / W] = {};
      for (int d = 0; d < s.head; d++)
        for (int v = 0; v < BLOCK / W; v++) {
          V key = load(keys + d * BLOCK + v * W);
          for (int r = 0; r < R; r++) sums[r][v] += all(q[r * s.head + d]) * key;
        }
      for (int r = 0; r < R; r++)
        for (int v = 0; v < BLOCK / W; v++) store(scores + r * step + b * BLOCK + v * W, sums[r][v]);
    }
    float scale[R];
    for (int r = 0; r < R; r++) scale[r] = 1.0f / soften(scores + r * step, count, step);
    int d = 0;
    for (; d + 2 * W <= head_width; d += 2 * W) average<R, 2>(chain, offset, scores, scale, count, step, d, out);
    if (d < head_width) average<R, 1>(chain, offset, scores, scale, count, step, d, out);
  }

  static float soften(float* scores, int count, int step) {  // e^(score - the greatest); their sum
    std::fill(scores + count, scores + step, -INFINITY);
    V top = all(-INFINITY), total = {};
    for (int i = 0; i < step; i += W) top = most(top, load(scores + i));
    float greatest = top[0];
    for (int i = 1; i < W; i++) greatest = std::max(greatest, top[i]);
    for (int i = 0; i < step; i += W) {
      V mass = exponential(load(scores + i) - greatest);
      store(scores + i, mass);
      total += mass;
    }
    return sum(total);
  }

  template <int R, int C>  // C registers of the values' width for R heads
  void average(Node* const* chain, size_t offset, const float* masses, const float* scale, int count, int step, int d,
               float* out) const {
    V sums[R][C] = {};
    for (int t = 0; t < count; t++) {
      const float* values = chain[t / BLOCK]->kv + offset + BLOCK * s.head + t % BLOCK * head_width + d;
      for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sums[r][c] += all(masses[r * step + t]) * load(values + c * W);
    }
    for (int r = 0; r < R; r++)
      for (int c = 0; c < C; c++) {
        V mean = sums[r][c] * scale[r];
        int room = std::min(W, s.head - d - c * W);
        memcpy(out + r * s.head + d + c * W, &mean, std::max(0, room) * sizeof(float));
      }
  }

  void attend_all(const Token& token, int number, const float* q, float* out, std::vector<float>& room) const {
    for (int h = 0; h < s.kv_heads; h++) {
      size_t offset = ((size_t)number * s.kv_heads + h) * head_size;
      int r = h * group, end = r + group;
      for (; r + 4 <= end; r += 4) attend<4>(token, offset, q + r * s.head, out + r * s.head, room);
      for (; r + 2 <= end; r += 2) attend<2>(token, offset, q + r * s.head, out + r * s.head, room);
      for (; r < end; r++) attend<1>(token, offset, q + r * s.head, out + r * s.head, room);
    }
  }

  void forward(Desk& d, const std::vector<Token>& tokens) const {
    const int n = (int)tokens.size();
    float *x = d.x.get(), *normed = d.normed.get(), *qkv = d.qkv.get(), *attended = d.attended.get(), *inner = d.inner.get();
    for (int i = 0; i < n; i++) {
      const float* from = embedding + (size_t)tokens[i].row->tokens[tokens[i].position] * s.width;
      std::copy(from, from + s.width, x + i * width);
    }
    for (int l = 0; l < s.layers; l++) {
      const Layer& layer = layers[l];
      for (int i = 0; i < n; i++) normalize(x + i * width, layer.before.get(), normed + i * width, s.width, s.eps);
      multiply<WRITE>(layer.qkv, normed, width, qkv, qkv_width, n);
      for (int i = 0; i < n; i++) place(tokens[i], layer, l, qkv + i * qkv_width);
      for (int i = 0; i < n; i++) attend_all(tokens[i], l, qkv + i * qkv_width, attended + i * q_width, d.scores);
      multiply<ADD>(layer.out, attended, q_width, x, width, n);
      for (int i = 0; i < n; i++) normalize(x + i * width, layer.after.get(), normed + i * width, s.width, s.eps);
      multiply<GATE>(layer.gate, normed, width, inner, inner_width, n);
      multiply<ADD>(layer.down, inner, inner_width, x, width, n);
    }
    int ends = 0;  // rows behind which a token is chosen
    std::vector<Row*> rows;
    for (int i = 0; i < n; i++)
      if (tokens[i].last) {
        normalize(x + i * width, last_norm.get(), normed + ends++ * width, s.width, s.eps);
        rows.push_back(tokens[i].row);
      }
    for (int i = 0; i < ends; i += chunk) {
      multiply<WRITE>(unembed, normed + i * width, width, d.logits.get(), vocab_width, std::min(chunk, ends - i));
      for (int j = i; j < std::min(i + chunk, ends); j++)
        rows[j]->how = choose(*rows[j], d.logits.get() + (size_t)(j - i) * vocab_width, d.masses.get(), s.vocab, d.kept);
    }
  }
};

// ------------------------------------------------------------------------------------------------------------- engine

struct Engine {
  Model model;
  Past past;
  std::mutex door;  // all that changes, and `past`, belongs to whoever holds it; a row in a pass to the pass's thread
  std::condition_variable work, empty;
  std::unordered_map<int64_t, std::unique_ptr<Row>> rows;
  std::deque<Row*> queue, going, told;  // not yet admitted; in nobody's hands; ended, or with a question
  std::deque<Way> ways;
  std::deque<std::vector<int64_t>> lists;  // what the ways point to
  int admitted = 0, sleeping = 0;
  bool closing = false, broken = false;    // broken: memory ran out; all that is in flight ends
  int64_t read = 0, passes = 0;            // tokens of contexts that were read; passes
  int bell[2] = {-1, -1};                  // a pipe: readable when something is told
  std::vector<std::thread> threads;

  Engine(const Shape& s, const float* cos, const float* sin)
      : model(s, cos, sin), past(model.block_size(), s.bytes / (model.block_size() * sizeof(float)) + 1) {
    if (pipe(bell)) throw std::bad_alloc();
    for (int end : bell) fcntl(end, F_SETFL, O_NONBLOCK), fcntl(end, F_SETFD, FD_CLOEXEC);
    try {
      for (int i = 0; i < s.threads; i++) threads.emplace_back([this] { run(); });
    } catch (...) {
      close();
      throw;
    }
  }

  ~Engine() { close(); }

  void close() {
    {
      std::lock_guard<std::mutex> lock(door);
      closing = true;
    }
    work.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    while (!rows.empty()) leave(rows.begin()->second.get());
    for (int& end : bell) ::close(end), end = -1;
  }

  void run() {
    std::unique_ptr<Desk> desk;
    std::vector<Row*> mine;
    std::vector<Token> pass;
    std::unique_lock<std::mutex> lock(door);
    while (!closing) {
      try {
        if (broken) give_up();
        pick(mine, pass);
        if (mine.empty()) {
          if (admits()) continue;
          sleeping++, work.wait(lock), sleeping--;
          continue;
        }
        if (sleeping && !going.empty()) work.notify_one();
        passes++;
        lock.unlock();
        if (!desk) desk = std::make_unique<Desk>(model.desk());
        for (Row* row : mine)
          if (row->source) memcpy(row->chain.back()->kv, row->source->kv, past.size * sizeof(float));
        model.forward(*desk, pass);
        lock.lock();
      } catch (const std::bad_alloc&) {
        if (!lock.owns_lock()) lock.lock();
        broken = true;
      }
      settle(mine, pass);
    }
  }

  // Rows for one pass: this thread's share of those that can go on, one token each, or a stretch of a context.
  void pick(std::vector<Row*>& mine, std::vector<Token>& pass) {
    mine.clear(), pass.clear();
    admit();
    const int share = std::max(FEW, (admitted + model.s.threads - 1) / model.s.threads);
    for (size_t left = going.size(); left; left--) {
      Row* row = going.front();
      going.pop_front();
      if (row->waits && row->waits->ready()) row->waits = nullptr;
      if (row->cancelled && !row->reads()) {
        leave(row);
      } else if (row->waits || (int)mine.size() >= share || (int)pass.size() >= PASS) {
        going.push_back(row);
      } else if (mine.push_back(row); row->reads()) {
        int stop = std::min(row->context - 1, row->read + PASS - (int)pass.size());
        for (int p = row->read; p < stop; p++) pass.push_back({row, p, false});
      } else {
        begin(row);
        pass.push_back({row, (int)row->tokens.size() - 1, true});
      }
    }
  }

  bool admits() const { return !queue.empty() && admitted < model.s.rows; }

  void admit() {
    while (admits()) {
      Row* row = queue.front();
      queue.pop_front(), going.push_back(row);
      row->inside = true, admitted++;
      if (!row->cancelled) find(row);
      else row->read = row->context;
    }
  }

  // The blocks of the row's context but for its last token: those that are known, and new ones that it has to fill.
  void find(Row* row) {
    const int known = row->context - 1;
    Node* at = &past.root;
    row->read = known;
    for (int start = 0; start < known; start += BLOCK, at = row->chain.back()) {
      Key key(row->tokens.data() + start, std::min(BLOCK, known - start));
      auto [node, n] = at->closest(key);
      if (node) past.hold(node);
      if (node && n == key.count) {
        if (!node->ready()) row->waits = node;
        row->chain.push_back(node);
        continue;
      }
      Node* fresh = past.fresh(at);
      if (node && node->ready()) {  // it begins with the same tokens
        memcpy(fresh->kv, node->kv, past.size * sizeof(float));
        fresh->filled = n;
      }
      if (node) past.drop(node);
      row->read = std::min(row->read, start + fresh->filled);
      row->chain.push_back(past.enter(fresh, key));
    }
    read += known - row->read;
  }

  // Before a row decodes: a block of its own for its next token.
  void begin(Row* row) {
    if ((row->tokens.size() - 1) % BLOCK == 0) {
      row->chain.push_back(past.fresh(row->chain.empty() ? &past.root : row->chain.back()));
    } else if (!row->begun) {
      Node* fresh = past.fresh(row->chain.back()->parent);
      row->source = row->chain.back(), row->chain.back() = fresh;
    }
    row->begun = true;
  }

  void settle(const std::vector<Row*>& mine, const std::vector<Token>& pass) {
    for (const Token& token : pass)
      if (!token.last) token.row->chain[token.position / BLOCK]->filled++, token.row->read++;
    for (Row* row : mine) {
      if (row->source) past.drop(row->source), row->source = nullptr;
      if (broken) row->how = NO_MEMORY;
      if (row->how < DIVERGED && row->begun && (row->tokens.size() - 1) % BLOCK == 0) seal(row);
      if (row->cancelled && !row->reads()) leave(row);
      else if (row->how == GOING) going.push_back(row);
      else tell(row);
    }
  }

  // The row's newest block does not change any more: others may use it.
  void seal(Row* row) {
    const int start = ((int)row->chain.size() - 1) * BLOCK;
    Node* node = row->chain.back();
    node->filled = (int)row->tokens.size() - 1 - start;
    row->chain.back() = node = past.enter(node, Key(row->tokens.data() + start, node->filled));
    if (!node->ready()) row->waits = node;
  }

  void tell(Row* row) {
    if (row->how != ASKS) release(row);
    told.push_back(row);
    if (told.size() == 1 && write(bell[1], "", 1) < 0) return;  // a full pipe is readable, too
  }

  // A row that has ended gives up its place, and leaves its keys and values to others.
  void release(Row* row) {
    if (!row->inside) return;
    if (row->begun && row->how < DIVERGED && !row->chain.back()->known) seal(row);
    for (; !row->chain.empty(); row->chain.pop_back()) past.drop(row->chain.back());
    row->inside = false, admitted--;
    if (!queue.empty()) work.notify_one();
  }

  void leave(Row* row) {
    release(row);
    rows.erase(row->id);
    if (!rows.empty()) return;
    if (broken) past.forget(), broken = false;  // blocks that nobody filled
    empty.notify_all();
  }

  void give_up() {
    for (std::deque<Row*>* some : {&queue, &going})
      for (; !some->empty(); some->pop_front()) {
        Row* row = some->front();
        row->how = NO_MEMORY;
        if (row->cancelled) leave(row);
        else tell(row);
      }
  }
};

// ------------------------------------------------------------------------------------------------- for other languages

#define EXPORT extern "C" __attribute__((visibility("default")))
using Lock = std::lock_guard<std::mutex>;

// Null if there is no memory, or no thread to be had.
EXPORT Engine* whet_create(const Shape* shape, const float* cos, const float* sin) try {
  return new Engine(*shape, cos, sin);
} catch (...) {
  return nullptr;
}

EXPORT void whet_destroy(Engine* engine) { delete engine; }

// New weights, once nothing is in flight; what was computed with others is forgotten. Not 0 if there is no memory.
EXPORT int whet_load(Engine* engine, const float* const* weights) try {
  std::unique_lock<std::mutex> lock(engine->door);
  engine->empty.wait(lock, [&] { return engine->rows.empty(); });
  engine->past.forget();
  engine->model.take(weights);
  return 0;
} catch (...) {
  return 1;
}

// The number of a way, for rows that are decoded so; negative if there is no memory.
EXPORT int64_t whet_way(Engine* engine, const Way* way) try {
  Lock lock(engine->door);
  engine->ways.push_back(*way);
  Way& own = engine->ways.back();
  auto copy = [&](const int64_t* from, int count) {
    engine->lists.emplace_back(from, from + count);
    return engine->lists.back().data();
  };
  own.eos = copy(way->eos, way->eos_count), own.stops = copy(way->stops, way->stop_count);
  return (int64_t)engine->ways.size() - 1;
} catch (...) {
  return -1;
}

// Rows to decode; `tokens` are those of all contexts end to end. Not 0 if there is no memory for all of them.
EXPORT int whet_submit(Engine* engine, int count, const Asked* asked, const int64_t* tokens) try {
  std::vector<std::unique_ptr<Row>> made;
  for (int i = 0; i < count; tokens += asked[i++].length) {
    auto row = std::make_unique<Row>();
    row->id = asked[i].id, row->room = (int)asked[i].room, row->context = (int)asked[i].length;
    row->seed[0] = asked[i].seed, row->seed[1] = asked[i].seed_high;
    row->tokens.assign(tokens, tokens + row->context);
    made.push_back(std::move(row));
  }
  Lock lock(engine->door);
  for (int i = 0; i < count; i++) {
    made[i]->way = engine->ways[asked[i].way];
    engine->queue.push_back(made[i].get());
    engine->rows[made[i]->id] = std::move(made[i]);
  }
  engine->work.notify_all();
  return 0;
} catch (...) {
  return 1;
}

// What was told since the last time: of at most `most` rows, with at most `room` sampled tokens in all, end to end. Of a
// row that asks whether a stop string is complete, only the last tokens. How many rows that is.
EXPORT int whet_collect(Engine* engine, Told* told, int most, int64_t* tokens, float* logprobs, float* log_kept, int64_t room) {
  Lock lock(engine->door);
  int n = 0;
  for (; n < most && !engine->told.empty(); n++) {
    Row* row = engine->told.front();
    int count = row->sampled(), from = row->how == ASKS ? std::max(0, count - row->way.window) : 0;
    if (count - from > room) break;
    engine->told.pop_front();
    told[n] = {row->id, row->how, count - from};
    tokens = std::copy(row->tokens.begin() + row->context + from, row->tokens.end(), tokens);
    logprobs = std::copy(row->logprobs.begin() + from, row->logprobs.end(), logprobs);
    log_kept = std::copy(row->log_kept.begin() + from, row->log_kept.end(), log_kept);
    room -= count - from;
    if (row->how == ASKS) row->out = true;
    else engine->leave(row);
  }
  return n;
}

// The answer to a row that asked: it ends here, or goes on.
EXPORT void whet_answer(Engine* engine, int64_t id, int ends) {
  Lock lock(engine->door);
  auto found = engine->rows.find(id);
  if (found == engine->rows.end() || !found->second->out) return;
  Row* row = found->second.get();
  row->out = false;
  row->how = ends ? STOP : row->sampled() >= row->room ? LENGTH : GOING;
  if (row->how != GOING) return engine->tell(row);
  engine->going.push_back(row);
  engine->work.notify_one();
}

// Nobody waits for this row any more.
EXPORT void whet_cancel(Engine* engine, int64_t id) {
  Lock lock(engine->door);
  auto found = engine->rows.find(id);
  if (found == engine->rows.end()) return;
  Row* row = found->second.get();
  auto at = std::find(engine->told.begin(), engine->told.end(), row);
  row->cancelled = true;
  if (at != engine->told.end()) engine->told.erase(at), engine->leave(row);
  else if (row->out) engine->leave(row);
  else engine->work.notify_one();
}

EXPORT int whet_bell(Engine* engine) { return engine->bell[0]; }

// 0: tokens of contexts read; 1: passes; 2: rows in flight; 3: bytes of keys and values.
EXPORT int64_t whet_count(Engine* engine, int what) {
  Lock lock(engine->door);
  if (what < 2) return what == 0 ? engine->read : engine->passes;
  return what == 2 ? (int64_t)engine->rows.size() : (int64_t)(engine->past.made * engine->past.size * sizeof(float));
}

// The first `count` numbers of a row's stream.
EXPORT void whet_uniforms(uint64_t seed, uint64_t seed_high, int count, double* out) {
  uint64_t key[2] = {seed, seed_high};
  for (int k = 0; k < count; k++) out[k] = uniform(key, k);
}
