/// How laws are run: with how many cases, from which seed, and what is counted on the way.
module Agent.PropertyTests.Laws

open System
open System.Threading
open Expecto
open FsCheck
open FsCheck.FSharp

let private variable (name: string) =
    Environment.GetEnvironmentVariable name
    |> Option.ofObj
    |> Option.defaultValue ""

let private isSoak = variable "AGENT_TEST_LEVEL" = "soak"

let private isCi = variable "CI" = "true"

/// Cases of each law of a parser, and of all laws that say nothing else: 10,000 in soak runs, 2,000 in CI, else 1,000. Each run has a seed
/// of its own, so that they add up.
let cases: int =
    if isSoak then 10_000
    elif isCi then 2_000
    else 1_000

/// Cases of the laws of what is made of whole samples, which take longer: 10,000 in soak runs, else 1,000.
let wholeCases: int = if isSoak then 10_000 else 1_000

/// Where every law starts: fresh for each run, or the one to replay from AGENT_TEST_SEED="n,m".
let seed: struct (uint64 * uint64) =
    match (variable "AGENT_TEST_SEED").Split ',' with
    | [| "" |] ->
        let fresh () = uint64 (Random.Shared.NextInt64())
        // FsCheck's generator steps by its second number, which must be odd.
        struct (fresh (), fresh () ||| 1UL)
    | [| n; m |] -> struct (UInt64.Parse n, UInt64.Parse m)
    | _ -> failwith "AGENT_TEST_SEED must be two whole numbers: n,m"

let private config =
    let struct (n, m) = seed

    { FsCheckConfig.defaultConfig with
        maxTest = cases
        replay = Some(n, m, None)
    }

let mutable private lawsRun = 0
let mutable private casesRun = 0L

/// Laws and cases that ran so far.
let ran () : struct (int * int64) =
    struct (Volatile.Read &lawsRun, Volatile.Read &casesRun)

let private lawWith config (name: string) (shrink: 'a -> 'a seq) (values: Gen<'a>) (holds: 'a -> bool) : Test =
    let mutable started = 0

    let checkOne value =
        if Interlocked.Exchange(&started, 1) = 0 then
            Interlocked.Increment &lawsRun |> ignore

        Interlocked.Increment &casesRun |> ignore
        holds value

    testPropertyWithConfig config name (Prop.forAll (Arb.fromGenShrink (values, shrink)) checkOne)

/// A law over everything that the generator yields; a counterexample is made smaller with `shrink`.
let lawShrinking (name: string) (shrink: 'a -> 'a seq) (values: Gen<'a>) (holds: 'a -> bool) : Test =
    lawWith config name shrink values holds

/// The same with so many cases, for a law whose cases take long.
let lawShrinkingOf (cases: int) (name: string) (shrink: 'a -> 'a seq) (values: Gen<'a>) (holds: 'a -> bool) : Test =
    lawWith { config with maxTest = cases } name shrink values holds

/// A law with so many cases.
let lawOf (cases: int) (name: string) (values: Gen<'a>) (holds: 'a -> bool) : Test =
    lawShrinkingOf cases name (fun _ -> Seq.empty) values holds

/// A law over everything that the generator yields.
let law (name: string) (values: Gen<'a>) (holds: 'a -> bool) : Test =
    lawShrinking name (fun _ -> Seq.empty) values holds

/// True when both are equal; else the law fails and shows both.
let same (actual: 'a) (expected: 'a) : bool =
    actual = expected || failtestf "expected %A, got %A" expected actual

/// True without complaints; else the law fails and shows them.
let noneOf (complaints: string seq) : bool =
    Seq.isEmpty complaints || failtestf "%s" (String.Join("; ", complaints))
