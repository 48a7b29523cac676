// Which negatives a pair admits: the f64 rule, and the f32 spans outside of which it is settled.
// The same definitions as in src/admission.rs.
#ifndef FACENET_ADMISSION_CUH
#define FACENET_ADMISSION_CUH

// d_an - d_ap < margin, and d_ap < d_an if semi_hard. `allowance` is the relative width kept
// around a bound for f64's own rounding of d_ap + margin.
struct Rule {
    double margin, allowance;
    unsigned int semi_hard;
};

// Open spans of f32 distances: inside `certain` a negative is admissible, outside `possible` it
// is not, and between the two the f64 distance decides.
struct Bracket {
    float certain_above, certain_below, possible_above, possible_below;
};

// One pair: its anchor, its f64 distance, its bracket.
struct Pair {
    unsigned int anchor;
    double d_ap;
    Bracket bracket;
};

__device__ __forceinline__ Bracket bracket_of(const Rule &rule, double d_ap, double slack) {
    // The f64 of least value is below every distance, and stays a number beside an infinity.
    const double low = rule.semi_hard ? d_ap : -1.7976931348623157e308;
    const double high = __dadd_rn(d_ap, rule.margin);
    const double pad = __dadd_rn(slack, __dmul_rn(rule.allowance, high));
    Bracket bracket;
    bracket.certain_above = __double2float_ru(__dadd_rn(low, pad));
    bracket.certain_below = __double2float_rd(__dsub_rn(high, pad));
    bracket.possible_above = __double2float_rd(__dsub_rn(low, pad));
    bracket.possible_below = __double2float_ru(__dadd_rn(high, pad));
    return bracket;
}

__device__ __forceinline__ Pair pair_of(const Rule &rule, unsigned int anchor, double d_ap,
                                        double slack) {
    Pair pair;
    pair.anchor = anchor;
    pair.d_ap = d_ap;
    pair.bracket = bracket_of(rule, d_ap, slack);
    return pair;
}

__device__ __forceinline__ bool is_certain(const Bracket &bracket, float x) {
    return x > bracket.certain_above && x < bracket.certain_below;
}

__device__ __forceinline__ bool is_possible(const Bracket &bracket, float x) {
    return x > bracket.possible_above && x < bracket.possible_below;
}

// The definition, in f64.
__device__ __forceinline__ bool admits(const Rule &rule, const Pair &pair, double d_an) {
    return (!rule.semi_hard || pair.d_ap < d_an) && __dsub_rn(d_an, pair.d_ap) < rule.margin;
}

// The rule for the row at f32 distance x.
__device__ __forceinline__ bool is_admissible(const Rows &rows, const Rule &rule, const Pair &pair,
                                              float x, unsigned int row) {
    if (is_certain(pair.bracket, x)) return true;
    if (!is_possible(pair.bracket, x)) return false;
    return admits(rule, pair, exact_sq_l2(rows, pair.anchor, row));
}

// How many of COLS distances lie in `certain` and in `possible`; without the lower bounds, below
// which no distance lies, where the rule has none.
template <bool SEMI_HARD>
__device__ __forceinline__ void count_spans(const Bracket &bracket, const float *distances,
                                            unsigned int &n_certain, unsigned int &n_possible) {
    for (unsigned int j = 0; j < COLS; j += 4) {
        const float4 four = *reinterpret_cast<const float4 *>(distances + j);
        const float x[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int l = 0; l < 4; ++l) {
            n_certain += SEMI_HARD ? is_certain(bracket, x[l]) : x[l] < bracket.certain_below;
            n_possible += SEMI_HARD ? is_possible(bracket, x[l]) : x[l] < bracket.possible_below;
        }
    }
}

// How many of the COLS rows from first_row on, at these f32 distances, the pair admits.
__device__ __forceinline__ unsigned int count_row(const Rows &rows, const Rule &rule,
                                                  const Pair &pair, const float *distances,
                                                  unsigned int first_row) {
    unsigned int n_certain = 0, n_possible = 0;
    if (rule.semi_hard) {
        count_spans<true>(pair.bracket, distances, n_certain, n_possible);
    } else {
        count_spans<false>(pair.bracket, distances, n_certain, n_possible);
    }
    if (n_certain == n_possible) return n_certain;
    unsigned int count = 0;
    for (unsigned int j = 0; j < COLS; ++j) {
        count += is_admissible(rows, rule, pair, distances[j], first_row + j);
    }
    return count;
}

// The admissible row of this rank, from 0, among the same; rank is less than their number.
__device__ __forceinline__ unsigned int nth_in_row(const Rows &rows, const Rule &rule,
                                                   const Pair &pair, const float *distances,
                                                   unsigned int first_row, unsigned int rank) {
    for (unsigned int j = 0; j < COLS; ++j) {
        if (!is_admissible(rows, rule, pair, distances[j], first_row + j)) continue;
        if (rank == 0) return first_row + j;
        --rank;
    }
    return NONE;
}

// Makes the distances to rows of the anchor's own group, and to none, infinite: no span holds them.
__device__ __forceinline__ void keep_negatives(const Rows &rows, const unsigned int *groups,
                                               const unsigned int *anchors,
                                               unsigned int first_anchor, unsigned int n_anchors,
                                               unsigned int first_row, float (&d)[4][8]) {
    unsigned int own[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const unsigned int place = first_anchor + 4 * threadIdx.y + i;
        own[i] = place < n_anchors ? groups[anchors[place]] : NONE;
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        const unsigned int row = first_row + column(j);
        const unsigned int group = row < rows.n ? groups[row] : NONE;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (group == NONE || group == own[i]) d[i][j] = INFINITE;
        }
    }
}

#endif
