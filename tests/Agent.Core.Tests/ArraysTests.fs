module Agent.Core.Tests.ArraysTests

open Agent.Core
open Expecto
open Expecto.Flip

[<Tests>]
let tests =
    testList
        "Arrays"
        [
            testCase "the elements that are wanted, in their order, in an array of their own"
            <| fun () ->
                let all = [| 3; 1; 4; 1; 5 |]
                let isOdd number = number % 2 = 1
                Array.filter isOdd all |> Expect.equal "some" [| 3; 1; 1; 5 |]
                Array.filter (fun _ -> false) all |> Expect.equal "none" [||]
                Array.filter isOdd [||] |> Expect.equal "of none" [||]
                let copy = Array.filter (fun _ -> true) all
                copy[0] <- 9
                all[0] |> Expect.equal "the array is as it was" 3
        ]
