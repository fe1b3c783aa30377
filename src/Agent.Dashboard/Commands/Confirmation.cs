namespace Agent.Dashboard.Commands;

/// <summary>Asks before something is done that cannot be undone.</summary>
internal sealed class Confirmation(CommandLineProgram program)
{
    /// <summary>The exit code when it is not to be done; null when it is.</summary>
    /// <param name="isConfirmed">Whether the user has said so on the command line.</param>
    /// <param name="question">What is asked otherwise.</param>
    public int? Refusal(bool isConfirmed, string question)
    {
        if (isConfirmed)
        {
            return null;
        }

        if (Console.IsInputRedirected)
        {
            return program.Refuse([$"{question} There is no terminal to answer on; use --yes"]);
        }

        program.Show($"{question} [y/N] ");
        return Console.ReadLine()?.Trim().ToUpperInvariant() is "Y" or "YES" ? null : program.Fail("nothing was changed");
    }
}
