// What people are to know, as a sentence. Any other error is a fault of the code or of the browser:
// its message is for the console.

export class Problem extends Error {
  /**
   * message: the sentence.
   * status: of HTTP; 422 where the search refuses what it was asked for, 0 where nothing answered.
   * wait: seconds after which the server asks to be called again.
   */
  constructor(message, status = 0, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}
