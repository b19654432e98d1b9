// What stands between the matrix products of a Llama-like decoder, forwards and backwards, in fp32 on a CPU: norms,
// rotary embedding, attention over a tree of tokens, SwiGLU. The products themselves are torch's.
//
// N nodes of a tree (whet.models.packing) lie behind one another, so that a segment's nodes are consecutive. Every sum
// is taken in an order that does not depend on how many threads there are: a run can be repeated to the bit.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__)
constexpr int W = 16;  // floats in a register
#elif defined(__AVX__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif
constexpr int LANES = 2 * W;  // keys, and the numbers of a head, are padded to a multiple
constexpr int ASKED = 4;      // queries that go through the keys together: their sums stay in registers

typedef float V __attribute__((vector_size(4 * W)));
typedef float Loose __attribute__((vector_size(4 * W), aligned(4), may_alias));

static inline V load(const float* at) { return *(const Loose*)at; }
static inline void store(float* at, V v) { *(Loose*)at = v; }
static inline V all(float x) { return x - V{}; }

static inline int padded(int n) { return (n + LANES - 1) / LANES * LANES; }

// e^x = 2^n e^r, n whole and |r| <= ln(2) / 2, e^r by its Taylor polynomial; within 2e-7 of the value, 0 below -87.
static inline float exponential(float x) {
  float inside = std::min(std::max(x, -87.0f), 88.0f);
  float n = (inside * 1.44269504f + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  float r = inside - n * 0.693359375f + n * 2.12194440e-4f;      // ln(2) in two parts, the first without rounding
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720, p = p * r + 1.0f / 120, p = p * r + 1.0f / 24, p = p * r + 1.0f / 6;
  p = p * r + 0.5f, p = p * r + 1.0f, p = p * r + 1.0f;
  int32_t bits = ((int32_t)n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return x > -87.0f ? p * power : 0.0f;
}

#define EXPORT extern "C" __attribute__((visibility("default")))

// ------------------------------------------------------------------------------------------------------------- norms

// y = weight * x * scale, scale = 1 / sqrt(mean(x^2) + eps); scale [N] is kept where it is asked for
EXPORT void whet_norm(const float* x, const float* weight, float* y, int64_t count, int width, float eps, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const float* from = x + i * width;
    float* to = y + i * width;
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int j = 0; j < width; j++) squares += from[j] * from[j];
    float scale = 1.0f / std::sqrt(squares / width + eps);
#pragma omp simd
    for (int j = 0; j < width; j++) to[j] = weight[j] * (from[j] * scale);
  }
}

// dx += scale * (weight dy - x * scale^2 * mean(weight dy x));  dweight = sum over nodes of dy * x * scale.
// The sum goes by stretches of nodes whose number does not depend on the threads.
EXPORT void whet_norm_back(const float* x, const float* weight, const float* dy, float* dx, float* dweight,
                           int64_t count, int width, float eps, int threads) {
  constexpr int PARTS = 32;
  std::vector<float> sums((size_t)PARTS * width);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int part = 0; part < PARTS; part++) {
    float* sum = &sums[(size_t)part * width];
    for (int64_t i = count * part / PARTS; i < count * (part + 1) / PARTS; i++) {
      const float *at = x + i * width, *given = dy + i * width;
      float* to = dx + i * width;
      float squares = 0, along = 0;
#pragma omp simd reduction(+ : squares, along)
      for (int j = 0; j < width; j++) squares += at[j] * at[j], along += weight[j] * given[j] * at[j];
      float scale = 1.0f / std::sqrt(squares / width + eps);
      float back = along / width * scale * scale;
#pragma omp simd
      for (int j = 0; j < width; j++) {
        to[j] += scale * (weight[j] * given[j] - at[j] * back);
        sum[j] += given[j] * at[j] * scale;
      }
    }
  }
  for (int part = 0; part < PARTS; part++)
    for (int j = 0; j < width; j++) dweight[j] += sums[(size_t)part * width + j];
}

// ------------------------------------------------------------------------------------------------------------ SwiGLU

// y [N, I] = silu(gate) * up of gated [N, 2 I]
EXPORT void whet_gate(const float* gated, float* y, int64_t count, int inter, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const float *gate = gated + i * 2 * inter, *up = gate + inter;
    float* to = y + i * inter;
#pragma omp simd
    for (int j = 0; j < inter; j++) to[j] = gate[j] / (1.0f + exponential(-gate[j])) * up[j];
  }
}

// In place: gated becomes its gradient, and dy becomes y, which the gradient of the next weights asks for.
EXPORT void whet_gate_back(float* gated, float* dy, int64_t count, int inter, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    float *gate = gated + i * 2 * inter, *up = gate + inter, *at = dy + i * inter;
#pragma omp simd
    for (int j = 0; j < inter; j++) {
      float g = gate[j], u = up[j], d = at[j];
      float share = 1.0f / (1.0f + exponential(-g)), open = g * share;
      at[j] = open * u;
      up[j] = d * open;
      gate[j] = d * u * (share + open * (1.0f - share));
    }
  }
}

// ---------------------------------------------------------------------------------------------------- rotary embedding

// Turn the first `heads` heads of every row of x [N, step] by the angles of its node: cos and sin [N, head / 2].
// `back` turns gradients the other way.
EXPORT void whet_turn(float* x, const float* cos, const float* sin, int64_t count, int step, int heads, int head,
                      int back, int threads) {
  int half = head / 2;
  float sign = back ? -1.0f : 1.0f;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const float *c = cos + i * half, *s = sin + i * half;
    for (int h = 0; h < heads; h++) {
      float *left = x + i * step + h * head, *right = left + half;
#pragma omp simd
      for (int j = 0; j < half; j++) {
        float a = left[j], b = right[j], turn = sign * s[j];
        left[j] = a * c[j] - b * turn;
        right[j] = b * c[j] + a * turn;
      }
    }
  }
}

// --------------------------------------------------------------------------------------------------------- attention

// Segment s: tokens start[s] to stop[s] - 1 of row row[s], whose nodes are places[row[s]][0], places[row[s]][1], ...
// Trees: segments trees[t] to trees[t + 1] - 1 have no node in common with those of any other.
struct Forest {
  const int64_t *row, *start, *stop, *trees, *places;
  int64_t count, width;  // trees; tokens of a row of `places`

  const int64_t* path(int64_t s) const { return places + row[s] * width; }
};

struct Sizes {
  int32_t heads, groups, head, threads;  // query heads, key heads, numbers of a head
};

// One thread's scratch. Queries go ASKED at a time, the heads that share a key behind one another; arrays over keys have
// the step `room`, those over a head's numbers `wide`, both padded with zeros or with what does no harm.
struct Desk {
  int head, wide, room = 0;
  std::vector<float> keys, values;                // [room, wide] along a path
  std::vector<float> turned_keys, turned_values;  // [wide, room]
  std::vector<float> dkeys, dvalues;              // [room, wide]
  std::vector<float> scores, dscores;             // [ASKED, room]
  std::vector<float> query, dout, sums;           // [ASKED, wide]

  explicit Desk(int head) : head(head), wide(padded(head)) {
    for (auto* few : {&query, &dout, &sums}) few->assign((size_t)ASKED * wide, 0.0f);
  }

  void fit(int length) {
    if (length <= room) return;
    room = padded(length);
    for (auto* all : {&keys, &values, &turned_keys, &turned_values, &dkeys, &dvalues})
      all->assign((size_t)room * wide, 0.0f);
    for (auto* few : {&scores, &dscores}) few->assign((size_t)ASKED * room, 0.0f);
  }

  void lay(const float* from, int step, const int64_t* path, int length, std::vector<float>& rows,
           std::vector<float>& turned) {
    for (int j = 0; j < length; j++)
      for (int d = 0; d < head; d++) rows[(size_t)j * wide + d] = turned[(size_t)d * room + j] = from[path[j] * step + d];
  }

  // out[q][j] = asking q . column j, for the first `seen` columns and those that pad them
  void ask(const std::vector<float>& asking, const std::vector<float>& turned, std::vector<float>& out, int seen) const {
    for (int j = 0; j < seen; j += LANES) {
      V sum[ASKED][2] = {};
      for (int d = 0; d < head; d++) {
        const float* along = &turned[(size_t)d * room + j];
        V left = load(along), right = load(along + W);
        for (int q = 0; q < ASKED; q++) {
          V number = all(asking[q * wide + d]);
          sum[q][0] += number * left, sum[q][1] += number * right;
        }
      }
      for (int q = 0; q < ASKED; q++)
        store(&out[(size_t)q * room + j], sum[q][0]), store(&out[(size_t)q * room + j + W], sum[q][1]);
    }
  }

  // sums[q] = sum_j shares[q][j] rows[j]
  void mix(const std::vector<float>& shares, const std::vector<float>& rows, int seen) {
    for (int d = 0; d < wide; d += LANES) {
      V sum[ASKED][2] = {};
      for (int j = 0; j < seen; j++) {
        V left = load(&rows[(size_t)j * wide + d]), right = load(&rows[(size_t)j * wide + d + W]);
        for (int q = 0; q < ASKED; q++) {
          V share = all(shares[(size_t)q * room + j]);
          sum[q][0] += share * left, sum[q][1] += share * right;
        }
      }
      for (int q = 0; q < ASKED; q++) store(&sums[q * wide + d], sum[q][0]), store(&sums[q * wide + d + W], sum[q][1]);
    }
  }

  // rows[j] += sum_q shares[q][j] given[q]
  void spread(const std::vector<float>& shares, const std::vector<float>& given, std::vector<float>& rows, int seen) {
    for (int d = 0; d < wide; d += LANES) {
      V number[ASKED][2];
      for (int q = 0; q < ASKED; q++) number[q][0] = load(&given[q * wide + d]), number[q][1] = load(&given[q * wide + d + W]);
      for (int j = 0; j < seen; j++) {
        float* to = &rows[(size_t)j * wide + d];
        V left = load(to), right = load(to + W);
        for (int q = 0; q < ASKED; q++) {
          V share = all(shares[(size_t)q * room + j]);
          left += share * number[q][0], right += share * number[q][1];
        }
        store(to, left), store(to + W, right);
      }
    }
  }
};

// The queries of one key head in one segment: query i is head `i % each` of the group, of node `i / each`.
struct Queries {
  const int64_t* path;
  int start, stop, each, group;

  int count() const { return (stop - start) * each; }
  int64_t node(int i) const { return path[start + i / each]; }
  int head(int i) const { return group * each + i % each; }
  int seen(int i) const { return start + i / each + 1; }  // keys
};

// Do `work(desk, queries)` for every key head of every segment; one tree's segments in their order, by one thread, so
// that what they add to shared nodes is added in one order.
template <class Work>
static void each_segment(const Forest& forest, const Sizes& sizes, Work work) {
#pragma omp parallel num_threads(sizes.threads)
  {
    Desk desk(sizes.head);
#pragma omp for schedule(dynamic, 1)
    for (int64_t task = 0; task < forest.count * sizes.groups; task++) {
      int64_t tree = task / sizes.groups;
      for (int64_t s = forest.trees[tree]; s < forest.trees[tree + 1]; s++) {
        desk.fit((int)forest.stop[s]);
        work(desk, Queries{forest.path(s), (int)forest.start[s], (int)forest.stop[s], sizes.heads / sizes.groups,
                           (int)(task % sizes.groups)});
      }
    }
  }
}

static inline void bring(float* to, const float* from, int n) { memcpy(to, from, n * sizeof(float)); }

// out [N, heads * head] and logs [N, heads], the log of each softmax's denominator, from qkv [N, step]: queries, keys
// and values behind one another, queries and keys turned already.
EXPORT void whet_attend(const float* qkv, float* out, float* logs, const Forest* forest, const Sizes* sizes) {
  int heads = sizes->heads, groups = sizes->groups, head = sizes->head, step = (heads + 2 * groups) * head;
  float scale = 1.0f / std::sqrt((float)head);
  each_segment(*forest, *sizes, [=](Desk& desk, const Queries& queries) {
    const float *key = qkv + (heads + queries.group) * head, *value = key + groups * head;
    desk.lay(key, step, queries.path, queries.stop, desk.keys, desk.turned_keys);
    desk.lay(value, step, queries.path, queries.stop, desk.values, desk.turned_values);
    for (int from = 0; from < queries.count(); from += ASKED) {
      int asked = std::min(ASKED, queries.count() - from), most = queries.seen(from + asked - 1);
      for (int q = 0; q < asked; q++)
        bring(&desk.query[q * desk.wide], qkv + queries.node(from + q) * step + queries.head(from + q) * head, head);
      desk.ask(desk.query, desk.turned_keys, desk.scores, most);
      float totals[ASKED];
      for (int q = 0; q < asked; q++) {
        float* score = &desk.scores[(size_t)q * desk.room];
        int seen = queries.seen(from + q);
        float top = score[0], total = 0;
#pragma omp simd reduction(max : top)
        for (int j = 0; j < seen; j++) top = std::max(top, score[j]);
#pragma omp simd reduction(+ : total)
        for (int j = 0; j < seen; j++) total += score[j] = exponential(scale * (score[j] - top));
        std::fill(score + seen, score + most, 0.0f);
        totals[q] = total;
        logs[queries.node(from + q) * heads + queries.head(from + q)] = scale * top + std::log(total);
      }
      desk.mix(desk.scores, desk.values, most);
      for (int q = 0; q < asked; q++) {
        float* to = out + (queries.node(from + q) * heads + queries.head(from + q)) * head;
        for (int d = 0; d < head; d++) to[d] = desk.sums[q * desk.wide + d] / totals[q];
      }
    }
  });
}

// dqkv [N, step] from dout, all of the forward pass given. With p the softmax:  dv = p^T dout,
// ds = scale p * (dout v^T - sum(dout * out)),  dq = ds k,  dk = ds^T q.
EXPORT void whet_attend_back(const float* qkv, const float* out, const float* logs, const float* dout, float* dqkv,
                             const Forest* forest, const Sizes* sizes) {
  int heads = sizes->heads, groups = sizes->groups, head = sizes->head, step = (heads + 2 * groups) * head;
  float scale = 1.0f / std::sqrt((float)head);
  each_segment(*forest, *sizes, [=](Desk& desk, const Queries& queries) {
    int key = (heads + queries.group) * head, value = key + groups * head, wide = desk.wide, stop = queries.stop;
    desk.lay(qkv + key, step, queries.path, stop, desk.keys, desk.turned_keys);
    desk.lay(qkv + value, step, queries.path, stop, desk.values, desk.turned_values);
    std::fill_n(desk.dkeys.begin(), (size_t)stop * wide, 0.0f);
    std::fill_n(desk.dvalues.begin(), (size_t)stop * wide, 0.0f);
    for (int from = 0; from < queries.count(); from += ASKED) {
      int asked = std::min(ASKED, queries.count() - from), most = queries.seen(from + asked - 1);
      for (int q = 0; q < asked; q++) {
        int64_t node = queries.node(from + q), at = (node * heads + queries.head(from + q)) * head;
        bring(&desk.query[q * wide], qkv + node * step + queries.head(from + q) * head, head);
        bring(&desk.dout[q * wide], dout + at, head);
      }
      desk.ask(desk.query, desk.turned_keys, desk.scores, most);
      desk.ask(desk.dout, desk.turned_values, desk.dscores, most);
      for (int q = 0; q < ASKED; q++) {
        float *p = &desk.scores[(size_t)q * desk.room], *ds = &desk.dscores[(size_t)q * desk.room];
        int seen = q < asked ? queries.seen(from + q) : 0;
        if (q < asked) {
          int64_t at = queries.node(from + q) * heads + queries.head(from + q);
          float log = logs[at], whole = 0;
          for (int d = 0; d < head; d++) whole += dout[at * head + d] * out[at * head + d];
#pragma omp simd
          for (int j = 0; j < seen; j++) {
            p[j] = exponential(scale * p[j] - log);
            ds[j] = scale * p[j] * (ds[j] - whole);
          }
        }
        std::fill(p + seen, p + most, 0.0f);
        std::fill(ds + seen, ds + most, 0.0f);
      }
      desk.spread(desk.scores, desk.dout, desk.dvalues, most);
      desk.spread(desk.dscores, desk.query, desk.dkeys, most);
      desk.mix(desk.dscores, desk.keys, most);
      for (int q = 0; q < asked; q++)
        bring(dqkv + queries.node(from + q) * step + queries.head(from + q) * head, &desk.sums[q * wide], head);
    }
    for (int j = 0; j < stop; j++) {
      float *dkey = dqkv + queries.path[j] * step + key, *dvalue = dqkv + queries.path[j] * step + value;
      for (int d = 0; d < head; d++) {
        dkey[d] += desk.dkeys[(size_t)j * wide + d];
        dvalue[d] += desk.dvalues[(size_t)j * wide + d];
      }
    }
  });
}
