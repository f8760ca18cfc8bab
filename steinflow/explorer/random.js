// Uniform numbers from a seed. The i-th is a hash of i, so the first draws stay the first
// when there are more, and a view that is shared shows the same draws to everyone.

// 32 bits in which every bit depends on every bit of the argument
function scrambled(bits) {
  let h = bits | 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

// The i-th number of a stream, in (0, 1)
function uniform(stream, i) {
  const high = scrambled(stream ^ scrambled(2 * i + 1));
  const low = scrambled(high ^ scrambled(2 * i + 2));
  return (high + (low + 0.5) / 2 ** 32) / 2 ** 32;
}

// [d][k], the k-th numbers of d streams
function uniforms(seed, dim, count) {
  return Array.from({ length: dim }, (_, j) => {
    const stream = scrambled(scrambled(seed + 1) + 0x9e3779b9 * (j + 1));
    const row = new Float64Array(count);
    for (let i = 0; i < count; i++) row[i] = uniform(stream, i);
    return row;
  });
}
