/// The fuzzing targets over what they start from, so that they are known to work where nothing is fuzzed. An input that was a
/// failure once is among them.
module Agent.Repository.Tests.FuzzTests

open System.IO
open Agent.Fuzz
open Agent.TestSupport
open Expecto

let private fixtures = Fixtures.pathOf ""

[<Tests>]
let tests =
    testList
        "Fuzzing targets"
        [
            for target in Targets.all do
                testCase target.Name
                <| fun () ->
                    let seeds = Targets.seeds fixtures target
                    Expect.isNonEmpty seeds "it starts from something"

                    for name, input in seeds do
                        try
                            // Cut anywhere it is no longer what the target knows, and is read as well.
                            for length in [ input.Length; input.Length / 2; input.Length / 3; 0 ] do
                                target.Run input[.. length - 1]
                        with e ->
                            failtest $"{name}: {e}"

            testCase "every directory of kept inputs belongs to a target"
            <| fun () ->
                let names = Targets.all |> List.map _.Name

                for directory in Directory.GetDirectories(Fixtures.pathOf "fuzz") do
                    Expect.contains names (Path.GetFileName directory |> string) "targets"

            testCase "a name stands for one target"
            <| fun () ->
                let names = Targets.all |> List.map _.Name
                Expect.equal (List.distinct names) names "names"
        ]
