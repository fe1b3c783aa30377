/// Waiting for what another thread or another process does.
module Agent.TestSupport.Waiting

open System
open System.Diagnostics
open System.Threading
open Expecto

/// What runs take at most, start on a busy machine included.
let patience = TimeSpan.FromSeconds 20.0

/// Polls until the condition holds; fails the test when that takes too long.
let eventually (limit: TimeSpan) (what: string) (condition: unit -> bool) : unit =
    let watch = Stopwatch.StartNew()

    while not (condition ()) do
        if watch.Elapsed > limit then
            failtest $"not within {limit.TotalSeconds} s: {what}"

        Thread.Sleep 5
