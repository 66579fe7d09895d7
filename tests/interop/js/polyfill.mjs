// js-libp2p 3 is written for Node 22; Node 20 lacks this one function of it.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}
